"""Security and transaction generators, and the historical seeder."""

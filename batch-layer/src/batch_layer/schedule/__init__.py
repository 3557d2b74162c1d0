"""What happens by the clock: security runs, ingestion, table maintenance."""

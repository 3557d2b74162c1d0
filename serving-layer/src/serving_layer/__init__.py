"""Merged answers from batch and realtime views over DuckDB, REST and dashboard."""

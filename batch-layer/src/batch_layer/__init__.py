"""Spark jobs over the master dataset: ingestion, security runs, models, analyses."""

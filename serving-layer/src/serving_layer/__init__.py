"""Merged answers from batch and realtime views, REST and dashboard."""

"""Kafka consumer that scores events within milliseconds into a local store."""

"""Runs the whole system as ordinary processes: jars, broker, services, demo."""

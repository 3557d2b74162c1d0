"""Grafana dashboards written as code; ``python -m streamguard_dashboards`` writes the JSON."""

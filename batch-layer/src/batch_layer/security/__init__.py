"""Security runs: detection over all history, models over users, published views."""

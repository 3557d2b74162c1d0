"""Transactions: streams, batches, analyses and the control API over them."""

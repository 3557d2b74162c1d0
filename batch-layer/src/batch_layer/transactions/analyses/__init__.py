"""Analyses of transactions: ``DataFrame -> DataFrame``, the same for streams and batches.

The closing ``select`` of each is its contract.
"""

"""Checksummed lists of the jars the stack runs on, one lock file per purpose."""

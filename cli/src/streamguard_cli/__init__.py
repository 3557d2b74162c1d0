"""The ``streamguard`` command: a client of the system, no part of its data path."""

"""What people do with alerts: their steps, suppressions made from them, and webhooks.

In reading order: ``states`` (an alert's case as a fold of steps), ``suppressions``, ``store`` (the
SQLite file of both), ``webhooks`` (targets, formats, signatures), ``outbox`` and ``delivery``.
"""

"""What stands before every route: keys, limits, headers, request ids, the log of writes.

In reading order: ``scopes`` (what a request needs), ``keys`` (who may), ``limits`` (how much),
``guard`` (the middleware that asks them), ``audit`` (what was written), ``requests`` (ids),
``connections`` (clients that dawdle), ``commands`` (``python -m serving_layer keys``).
"""

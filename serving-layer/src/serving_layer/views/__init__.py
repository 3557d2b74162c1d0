"""What is held in memory and on local disk: the two views and the snapshot that pairs them.

In reading order: ``streams`` and ``keys`` (identity and merged order), ``pieces`` (stored rows),
``index`` (sorted columns over pieces), ``tiers`` (many small indexes into few), ``event_files`` and
``batch`` (a published run), ``realtime`` (rows at or above the seam), ``snapshot`` (both), ``reads``
(merged answers), ``accounts`` (the consistency proof).
"""

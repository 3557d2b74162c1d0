"""Backtests: what a rule file, or another threshold, would have raised.

In reading order: ``requests`` (what is asked), ``thresholds`` (answered from our own columns), ``judging``
(against verdicts and labels), ``jobs`` (in the background). Detection belongs to the batch layer: rules
are run there, over the published run's events.
"""

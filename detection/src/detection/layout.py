"""Names for the columns of the flat arrays that hold the state.

Plain integers, because compiled code indexes with them.
"""

from typing import Final

# Users. 0 is nobody: its rows hold the whole population of the partition.
POPULATION: Final = 0
UNKNOWN: Final = 1

# Kinds of value that are counted per user.
IP: Final = 0
NET: Final = 1
PLACE: Final = 2
TYPE: Final = 3
STATUS: Final = 4
AGENT: Final = 5
HOST: Final = 6
PROCESS: Final = 7
PORT: Final = 8
PATH: Final = 9
DOMAIN: Final = 10
VOLUME: Final = 11
HOUR: Final = 12
DAY: Final = 13
KINDS: Final = 14
SCORED_KINDS: Final = 13
"""All kinds but ``DAY``, which is counted for the features only."""

OTHER: Final = 0x3FFFFFFF
"""Stands for every further value of a user who has had ``MOST_VALUES`` of a kind."""

MOST_VALUES: Final = (
    65_536, 65_536, 65_536, 65_536, 65_536, 4_096, 4_096, 4_096, 4_096, 4_096, 4_096, 64, 24, 65_536,
)  # fmt: skip
"""Of each kind: distinct values of a user that are told apart; it bounds a user's state."""

COMPONENT_OF: Final = (1, 1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 0)
"""Index into ``contracts.views.COMPONENTS`` for each scored kind."""
COMPONENTS: Final = 10

# Rows of the matrix of codes that interning makes of a batch.
C_USER: Final = 11
C_STATUS: Final = 12
C_REASON: Final = 13
CODES: Final = 14
"""Rows 0..10 are the kinds ``IP`` to ``DOMAIN``; row ``STATUS`` is unused."""

# Codes known beforehand, in the order of ``contracts.events``.
AUTH_TYPES: Final = (0, 5, 6)
FAILED: Final = 1

# Integer counters per user.
TOTAL: Final = 0
FAILURES: Final = 1
UNUSUAL: Final = 2
AUTH: Final = 3
AUTH_FAILED: Final = 4
BY_TYPE: Final = 5
"""Five columns, one per event type of ``contracts.events.EVENT_TYPES``."""
THREATS: Final = 10
FIRST: Final = 11
LAST: Final = 12
PREVIOUS: Final = 13
GAPS: Final = 14
MIN_GAP: Final = 15
BURSTS: Final = 16
STREAK: Final = 17
"""Suspicious events in a row that repeat what was seen before."""
COUNTERS: Final = 18

# Floating-point accumulators per user.
THREAT_SUM: Final = 0
THREAT_MAX: Final = 1
GAP_MEAN: Final = 2
GAP_M2: Final = 3
SUMS: Final = 4

# Single numbers of the whole state.
ENTRIES: Final = 0
RING_NEXT: Final = 1
RING_SIZE: Final = 2
EVENTS: Final = 3
DUPLICATES: Final = 4
TALLIES: Final = 5

TOP: Final = 3
"""How many of a user's usual values a reason names."""

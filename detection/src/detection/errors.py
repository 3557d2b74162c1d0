"""Everything detection raises on purpose.

* DetectionError
  - StateError                 a snapshot cannot be continued
    + StateVersionError        it was written by another version of detection
    + StateDamagedError        its bytes are not what was written
"""


class DetectionError(Exception):
    """Base class: catch this at the edge, never deeper."""


class StateError(DetectionError):
    """A state snapshot cannot be continued; recompute from the log."""


class StateVersionError(StateError):
    """The snapshot was written by another version of detection."""


class StateDamagedError(StateError):
    """The bytes are not a snapshot, or not all of one."""

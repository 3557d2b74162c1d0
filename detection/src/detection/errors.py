"""Everything detection raises on purpose.

* DetectionError
  - StateError                 a snapshot cannot be continued
    + StateVersionError        it was written by another version of detection
    + StateDamagedError        its bytes are not what was written
  - RuleError                  a rule file cannot be used
"""

from pathlib import Path


class DetectionError(Exception):
    """Base class: catch this at the edge, never deeper."""


class StateError(DetectionError):
    """A state snapshot cannot be continued; recompute from the log."""


class StateVersionError(StateError):
    """The snapshot was written by another version of detection."""


class StateDamagedError(StateError):
    """The bytes are not a snapshot, or not all of one."""


class RuleError(DetectionError):
    """A rule file is refused.

    Attributes:
        file: Its path.
        rule_id: Which rule in it; empty when it is about the whole file.
        reason: Why, in one sentence.
    """

    def __init__(self, file: Path | str, rule_id: str, reason: str) -> None:
        self.file, self.rule_id, self.reason = str(file), rule_id, reason
        super().__init__(": ".join(part for part in (self.file, rule_id, reason) if part))

"""Pure detection: baselines, scorer, rules and the 28 features, over columns.

* ``Engine``         one partition's state machine: columns in, scores, reasons, alerts out
* ``sigma``          rules from files in the Sigma format, and their examples
* ``user_features``  the 28 features of all users, from the engines' states
* ``VERSION``        of the state and of what the same events give
"""

from detection.engine import VERSION, Engine, Result, Scorer
from detection.errors import (
    DetectionError,
    RuleError,
    StateDamagedError,
    StateError,
    StateVersionError,
)
from detection.features import user_features
from detection.rules import RuleSet

__all__ = [
    "VERSION",
    "DetectionError",
    "Engine",
    "Result",
    "RuleError",
    "RuleSet",
    "Scorer",
    "StateDamagedError",
    "StateError",
    "StateVersionError",
    "user_features",
]

"""Everything the command raises on purpose.

* CommandError          the command cannot go on; its message is all that is printed
  - UsageError          a flag has a value that makes no sense
  - InputError          a file cannot be read
  - DeliveryError       the broker does not take events
  - ServiceError        a service does not answer, or refuses
  - RefusedRuleError    detection does not take a rule
* LineError             one line of a log cannot be read; reported, the others go on
"""


class CommandError(Exception):
    """Base class: the command line prints its message and exits with ``exit_code``."""

    exit_code = 1


class UsageError(CommandError):
    """A flag has a value that makes no sense."""

    exit_code = 2


class InputError(CommandError):
    """A file cannot be read."""


class DeliveryError(CommandError):
    """The broker cannot be reached, or has no such topic."""


class ServiceError(CommandError):
    """A service does not answer, or refuses."""


class RefusedRuleError(CommandError):
    """Detection does not take a rule; the message names file, rule and reason."""


class LineError(Exception):
    """A line that should hold an event does not; the message says what is wrong with it."""

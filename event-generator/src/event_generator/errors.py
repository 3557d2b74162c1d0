"""Everything the generator raises on purpose.

* GeneratorError
  - ConfigurationError   a flag or an environment variable is wrong; the message names it
  - StoppedError         a signal arrived while waiting
  - OutputError          a file or table cannot be written
"""


class GeneratorError(Exception):
    """Base class: the command line prints its message and exits non-zero."""


class ConfigurationError(GeneratorError):
    """A flag or an environment variable has a value that makes no sense."""


class StoppedError(GeneratorError):
    """The operator stopped the run before it could go on."""


class OutputError(GeneratorError):
    """Our own side: a file or a table cannot be written."""

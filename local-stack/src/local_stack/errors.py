"""Everything the local stack raises on purpose.

* StackError                 the base: the command line prints it and exits 1
  - JavaError                no usable Java, and none could be installed
  - JarError                 a jar could not be fetched or does not match its checksum
  - BrokerError              the broker did not start, or a topic could not be created
  - PortTakenError           a port that a service needs is in use
  - ServiceError             a service did not become ready, or is not known
  - DemoError                a step of the demo did not give what it must
"""


class StackError(Exception):
    """Base class: catch this at the edge, never deeper."""


class JavaError(StackError):
    """There is no Java 17 or newer, and the wheel with one is not installed."""


class JarError(StackError):
    """A jar could not be fetched, or its bytes are not the ones in the lock."""


class BrokerError(StackError):
    """The broker did not answer in time, exited, or refused a topic."""


class PortTakenError(StackError):
    """Another process listens on a port that the stack needs."""


class ServiceError(StackError):
    """A service is unknown, exited, or did not become ready in time."""


class DemoError(StackError):
    """A step of the demo could not be carried out."""

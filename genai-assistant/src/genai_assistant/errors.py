"""Everything the assistant raises on purpose.

* AssistantError
  - ServingError            the serving layer did not give what was asked
    + UnreachableError          no answer, or a 5xx
    + NotFoundError             404: it does not know the thing
    + RefusedError              401 or 403: the key is missing, or may not do this
    + BadAnswerError            an answer that is not what the contract says
  - ModelError              the language model gave nothing usable
  - CorpusError             a data file of ours is damaged
"""

from genai_assistant.usage import NOTHING, Usage


class AssistantError(Exception):
    """Base class: caught at the edge of an answer, which then says what is missing."""


class ServingError(AssistantError):
    """The serving layer did not give what was asked."""


class UnreachableError(ServingError):
    """No answer in time, no connection, or a server error."""


class NotFoundError(ServingError):
    """The serving layer does not know the thing asked for."""


class RefusedError(ServingError):
    """The serving layer wants a key, or another one.

    Attributes:
        status: 401 or 403.
    """

    def __init__(self, path: str, status: int) -> None:
        super().__init__(f"{path}: HTTP {status}")
        self.status = status


class BadAnswerError(ServingError):
    """The serving layer answered something else than its contract."""


class ModelError(AssistantError):
    """The language model gave nothing usable; its text is the reason in a few words.

    Attributes:
        usage: What the call cost all the same.
    """

    def __init__(self, reason: str, usage: Usage = NOTHING) -> None:
        super().__init__(reason)
        self.usage = usage


class CorpusError(AssistantError):
    """A data file shipped with the package does not read."""

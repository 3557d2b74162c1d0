"""Everything the serving layer raises on purpose, each with the problem a client sees.

* ServingError
  - ParameterError          422, names the parameter
  - NotFoundError           404
  - ConflictError           409, the thing is not in a state that allows it
  - NotReadyError           503, no view is loaded yet
  - UpstreamError           503, a service that the answer needs does not answer
  - UnknownTopicError       500, a view holds a topic that detection does not read
  - RunError                never seen by a client: a run cannot be loaded; the previous one stays
    + MissingFileError      a file of the run is not there
    + DamagedFileError      a file of the run cannot be read or has other rows than promised
"""

from http import HTTPStatus


class ServingError(Exception):
    """Base class: one problem type each (RFC 9457)."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    slug = "internal"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ParameterError(ServingError):
    """A parameter of the request is wrong."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-parameter"

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(f"{parameter}: {detail}")
        self.parameter = parameter
        self.reason = detail


class NotFoundError(ServingError):
    """There is no such thing."""

    status = HTTPStatus.NOT_FOUND
    slug = "not-found"


class ConflictError(ServingError):
    """The thing is not in a state that allows what was asked."""

    status = HTTPStatus.CONFLICT
    slug = "conflict"


class NotReadyError(ServingError):
    """A view that the answer needs is not loaded yet."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "not-ready"


class UpstreamError(ServingError):
    """A service that the answer needs does not answer."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "upstream-unavailable"


class UnknownTopicError(ServingError):
    """A row comes from a topic that detection does not read."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} is none that detection reads")


class WebhookFileError(ServingError):
    """The webhooks file cannot be read or is wrong; seen at start, never by a client."""


class RunError(ServingError):
    """A published run cannot be loaded.

    Attributes:
        path: The file at fault, relative to the lake.
    """

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path


class MissingFileError(RunError):
    """A file that the manifest lists is not there."""


class DamagedFileError(RunError):
    """A file cannot be read, or does not hold the rows that the manifest promises."""

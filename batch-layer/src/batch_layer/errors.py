"""Everything the batch layer raises on purpose, and the status and code each has on the wire.

* BatchLayerError              500 INTERNAL_ERROR
  - InvalidRequestError        400 INVALID_REQUEST, names the field
  - BatchNotFoundError         404 BATCH_NOT_FOUND
  - RunNotFoundError           404 RUN_NOT_FOUND
  - BatchNotReadyError         409 BATCH_NOT_READY
  - StreamAlreadyRunningError  409 STREAM_ALREADY_RUNNING
  - RunAlreadyRunningError     409 RUN_ALREADY_RUNNING
  - ServiceUnavailableError    503 SERVICE_UNAVAILABLE
  - RunCancelledError          a security run was cancelled before it published
  - SettingsError              the service cannot start as it is configured
  - BrokerError                the broker cannot be reached or refuses
  - IngestionError             records cannot be copied into the master dataset
  - VerificationError          a run's files are not what was written: nothing is published
  - ModelError                 a saved model cannot be used
  - TableProtocolError         a Delta table needs features that other readers lack
"""

from http import HTTPStatus


class BatchLayerError(Exception):
    """Base class: catch this at the edge, never deeper."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "INTERNAL_ERROR"


class InvalidRequestError(BatchLayerError):
    """The request cannot be carried out as it stands; the message begins with the field."""

    status = HTTPStatus.BAD_REQUEST
    code = "INVALID_REQUEST"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class BatchNotFoundError(BatchLayerError):
    """No batch has this id."""

    status = HTTPStatus.NOT_FOUND
    code = "BATCH_NOT_FOUND"


class RunNotFoundError(BatchLayerError):
    """No security run has this id."""

    status = HTTPStatus.NOT_FOUND
    code = "RUN_NOT_FOUND"


class BatchNotReadyError(BatchLayerError):
    """The batch has no data yet, or never will."""

    status = HTTPStatus.CONFLICT
    code = "BATCH_NOT_READY"


class StreamAlreadyRunningError(BatchLayerError):
    """The streaming queries run already."""

    status = HTTPStatus.CONFLICT
    code = "STREAM_ALREADY_RUNNING"


class RunAlreadyRunningError(BatchLayerError):
    """A security run is going on; there is never a second one beside it."""

    status = HTTPStatus.CONFLICT
    code = "RUN_ALREADY_RUNNING"


class RunCancelledError(BatchLayerError):
    """A security run was cancelled; nothing of it is published."""


class ServiceUnavailableError(BatchLayerError):
    """The Spark session is not up, or is going down."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "SERVICE_UNAVAILABLE"


class SettingsError(BatchLayerError):
    """The service cannot start as it is configured."""


class BrokerError(BatchLayerError):
    """The broker cannot be reached, or refuses what it was asked."""


class IngestionError(BatchLayerError):
    """A topic's records cannot be copied into the master dataset."""


class VerificationError(BatchLayerError):
    """A file or a count of a run is not what it should be; the message names it."""


class ModelError(BatchLayerError):
    """A saved model is missing, damaged, or of other libraries; the message names the file."""


class TableProtocolError(BatchLayerError):
    """A Delta table needs reader features that other readers silently get wrong."""

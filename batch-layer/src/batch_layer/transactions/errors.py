"""Errors of the transactions side that no other part raises."""

from http import HTTPStatus

from batch_layer.errors import BatchLayerError


class TableNotFoundError(BatchLayerError):
    """No Delta table of the lake has this name."""

    status = HTTPStatus.NOT_FOUND
    code = "TABLE_NOT_FOUND"


class MaintenanceError(BatchLayerError):
    """Some tables could not be cared for; the message names each, and why."""


class TableDamagedError(BatchLayerError):
    """A file of a Delta table is missing or not what was written; the message names it."""

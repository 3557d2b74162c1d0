"""The control API of the transactions side."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from batch_layer.dependencies import TransactionsDep
from batch_layer.error_bodies import answers
from batch_layer.errors import (
    BatchLayerError,
    BatchNotFoundError,
    BatchNotReadyError,
    InvalidRequestError,
    ServiceUnavailableError,
    StreamAlreadyRunningError,
)
from batch_layer.transactions.errors import TableNotFoundError
from batch_layer.transactions.maintenance import RETENTION_HOURS
from batch_layer.transactions.records import BatchRecord, Status
from batch_layer.transactions.requests import BatchRunRequest, StreamStartRequest

MAX_PAGE_ROWS = 10_000

Version = Annotated[int | None, Query(ge=0, description="Read the table as of this version.")]
AsOf = Annotated[
    datetime | None, Query(description="Read the table as of this ISO-8601 time; no zone is UTC.")
]


class BatchList(BaseModel):
    """Batches, newest first."""

    total: int
    batches: list[BatchRecord]


class ZorderRequest(BaseModel):
    """Columns to cluster a table by."""

    columns: list[str] = Field(min_length=1)


class VacuumRequest(BaseModel):
    """How much history stays readable."""

    retentionHours: int = Field(RETENTION_HOURS, ge=RETENTION_HOURS)


router = APIRouter(
    tags=["transactions"], responses=answers(ServiceUnavailableError, BatchLayerError)
)

_DATA_ERRORS = answers(InvalidRequestError, BatchNotFoundError, BatchNotReadyError)
_TABLE_ERRORS = answers(InvalidRequestError, TableNotFoundError)


@router.post("/stream/start", responses=answers(InvalidRequestError, StreamAlreadyRunningError))
def start_stream(request: StreamStartRequest, transactions: TransactionsDep) -> dict[str, Any]:
    """Start both streaming queries where they stopped, or at the beginning of the topic."""
    return {"status": "started", "queryIds": transactions.start_stream(request.topic)}


@router.post("/stream/stop")
def stop_stream(transactions: TransactionsDep) -> dict[str, Any]:
    """Let the running micro-batch end, then stop the queries."""
    return {"status": "stopped", "queriesStopped": transactions.stop_stream()}


@router.get("/stream/status")
def stream_status(transactions: TransactionsDep) -> dict[str, Any]:
    """Say how the queries fare; one that died says why."""
    return transactions.streams.status()


@router.post("/batch/run", status_code=202, responses=answers(InvalidRequestError))
def run_batch(request: BatchRunRequest, transactions: TransactionsDep) -> dict[str, str]:
    """Queue a batch over an offset range of a topic, or over dates of the lake."""
    record = transactions.submit(request)
    return {"batchId": record.batch_id, "status": Status.PENDING}


@router.get("/batch/status/{batch_id}", responses=answers(BatchNotFoundError))
def batch_status(batch_id: str, transactions: TransactionsDep) -> BatchRecord:
    """Return a batch's record."""
    return transactions.batch(batch_id)


@router.get("/batch/data/{batch_id}", response_class=Response, responses=_DATA_ERRORS)
def batch_data(
    batch_id: str,
    transactions: TransactionsDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_ROWS)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
    version: Version = None,
    timestamp: AsOf = None,
) -> Response:
    """Return a page of a batch's transactions; the order is fixed per table version."""
    record, table = transactions.raw(batch_id, *_as_of(version, timestamp))
    rows = table.page(limit, offset).to_pylist()
    total = table.row_count
    body = {
        "batchId": batch_id,
        "status": record.status,
        "rowCount": total,
        "page": {
            "limit": limit,
            "offset": offset,
            "returned": len(rows),
            "hasMore": offset + len(rows) < total,
        },
        "data": rows,
    }
    headers = {
        "X-Total-Count": str(total),
        "X-Page-Size": str(limit),
        "X-Page-Offset": str(offset),
    }
    return _json(body, headers)


@router.get("/batch/data/{batch_id}/aggregated", response_class=Response, responses=_DATA_ERRORS)
def aggregated_data(
    batch_id: str,
    transactions: TransactionsDep,
    version: Version = None,
    timestamp: AsOf = None,
) -> Response:
    """Return a batch's analysis; of a full report, the rows of each."""
    record, rows = transactions.aggregated(batch_id, *_as_of(version, timestamp))
    return _json({"batchId": batch_id, "analysisType": record.analysis_type, "data": rows})


@router.get("/batch/list", responses=answers(InvalidRequestError))
def list_batches(
    transactions: TransactionsDep,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> BatchList:
    """List batches, newest first."""
    total, batches = transactions.list_batches(status, limit)
    return BatchList(total=total, batches=batches)


@router.delete("/batch/{batch_id}", responses=answers(BatchNotFoundError))
@router.post("/batch/{batch_id}/cancel", responses=answers(BatchNotFoundError))
def cancel_batch(batch_id: str, transactions: TransactionsDep) -> BatchRecord:
    """Cancel a batch; one that is finished stays as it is."""
    return transactions.cancel(batch_id)


@router.get("/tables")
def list_tables(transactions: TransactionsDep) -> dict[str, list[str]]:
    """Name the lake's tables that are compacted and vacuumed on schedule."""
    return {"tables": transactions.tables.names()}


@router.get("/tables/{name:path}/data", response_class=Response, responses=_TABLE_ERRORS)
def table_data(
    name: str,
    transactions: TransactionsDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_ROWS)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
    version: Version = None,
    timestamp: AsOf = None,
) -> Response:
    """Return a page of a table, as it is or as it was; bytes are Base64."""
    table = transactions.table(name, *_as_of(version, timestamp))
    rows = table.page(limit, offset).to_pylist()
    page = {
        "limit": limit,
        "offset": offset,
        "returned": len(rows),
        "hasMore": offset + len(rows) < table.row_count,
    }
    body = {"table": name, "version": table.version, "rowCount": table.row_count}
    return _json(body | {"page": page, "data": rows})


@router.get("/tables/{name:path}/history", response_class=Response, responses=_TABLE_ERRORS)
def table_history(
    name: str, transactions: TransactionsDep, limit: Annotated[int, Query(ge=1, le=1000)] = 20
) -> Response:
    """Return a table's versions, newest first."""
    return _json({"table": name, "history": transactions.tables.history(name, limit)})


@router.post("/tables/{name:path}/optimize", response_class=Response, responses=_TABLE_ERRORS)
def optimize_table(name: str, transactions: TransactionsDep) -> Response:
    """Compact a table's small files."""
    return _json({"table": name, "result": transactions.tables.optimize(name)})


@router.post("/tables/{name:path}/zorder", response_class=Response, responses=_TABLE_ERRORS)
def zorder_table(name: str, request: ZorderRequest, transactions: TransactionsDep) -> Response:
    """Compact a table and cluster its rows by columns."""
    return _json({"table": name, "result": transactions.tables.zorder(name, request.columns)})


@router.post("/tables/{name:path}/vacuum", response_class=Response, responses=_TABLE_ERRORS)
def vacuum_table(
    name: str, transactions: TransactionsDep, request: VacuumRequest | None = None
) -> Response:
    """Drop files that no version of the retention time needs."""
    hours = (request or VacuumRequest()).retentionHours
    return _json({"table": name, "result": transactions.tables.vacuum(name, hours)})


def _as_of(version: int | None, timestamp: datetime | None) -> tuple[int | None, datetime | None]:
    if version is not None and timestamp is not None:
        raise InvalidRequestError("version", "give version or timestamp, not both")
    if timestamp is not None and timestamp.tzinfo is None:
        timestamp = timestamp.replace(tzinfo=UTC)
    return version, timestamp


def _json(body: object, headers: dict[str, str] | None = None) -> Response:
    """Write rows as JSON, times as ISO-8601, ten times faster than the default encoder."""
    content = to_json(body, bytes_mode="base64")
    return Response(content, media_type="application/json", headers=headers)

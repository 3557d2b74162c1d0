"""``/api/sql``: read-only SQL over the merged views, where an operator allowed it."""

import logging
import time
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import APIRouter, Body
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from serving_layer import examples
from serving_layer.answers import alert_body, json_response
from serving_layer.errors import NotFoundError, ParameterError
from serving_layer.parameters import ServicesDep
from serving_layer.services import Services
from serving_layer.sql.statements import MAX_LENGTH
from serving_layer.views.snapshot import Snapshot

if TYPE_CHECKING:
    from contracts.api import Source

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/sql", tags=["operations"])

_QUESTION = "SELECT user, count(*) AS failed FROM events WHERE status = 'failed' GROUP BY ALL"
_ANSWER = {
    "columns": [{"name": "user", "type": "VARCHAR"}, {"name": "failed", "type": "BIGINT"}],
    "rows": [["alice", 41], ["bob", 7]],
    "truncated": False,
    "elapsed_ms": 412,
    "complete": True,
    "run_id": "20260101-000500-1a2b",
}
TABLES: dict[str, str] = {
    "events": "event_id, timestamp (Unix ms), time, user, event_type, status, source_ip, "
    "threat_score, anomaly_score, is_anomaly, reasons, time_anomaly, ip_anomaly, location_anomaly, "
    "type_anomaly, failure_anomaly, device_anomaly, process_anomaly, port_anomaly, path_anomaly, "
    "volume_anomaly, topic, partition, offset, ingested_at, source, raw (the stored JSON)",
    "alerts": "the fields of /api/alerts",
    "users": "the served run's users: user, first_seen, last_seen, the 28 features, anomaly_score, "
    "anomaly_score_normalized, cluster, reasons, is_anomaly",
}
_OFF = {404: "SQL is not enabled."}


class SqlRequest(BaseModel):
    """One SELECT."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"query": _QUESTION}]}
    )

    query: Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
    limit: int | None = Field(
        None, ge=1, description="Most rows; `SERVING_SQL_MAX_ROWS` is the most it may be."
    )


def _enabled(services: Services) -> None:
    if not services.settings.sql_enabled:
        raise NotFoundError("SQL is not enabled here; see SERVING_SQL_ENABLED")


def _alerts(services: Services, snapshot: Snapshot) -> list[dict[str, Any]]:
    layers = (("batch", snapshot.batch.alerts), ("realtime", snapshot.realtime.alerts))
    return [
        alert_body(entry.record, cast("Source", source), services.cases)
        for source, alerts in layers
        for entry in alerts.merged
    ]


@router.get("", responses=examples.answers({"tables": TABLES, "max_rows": 10_000}, problems=_OFF))
async def describe_tables(services: ServicesDep) -> Response:
    """Describe the tables that a query may read."""
    _enabled(services)
    return json_response({"tables": TABLES, "max_rows": services.settings.sql_max_rows})


@router.post("", responses=examples.answers(_ANSWER, problems=_OFF, is_list=True))
async def ask(services: ServicesDep, request: Annotated[SqlRequest, Body()]) -> Response:
    """Answer one SELECT over `events`, `alerts` and `users`, both layers merged at the seam.

    It runs in a process of its own without files, network, extensions and settings, with limits
    on time, memory and rows. A query that is refused or meets a limit is 422.
    """
    _enabled(services)
    most = services.settings.sql_max_rows
    if request.limit is not None and request.limit > most:
        raise ParameterError("limit", f"must not be greater than {most}")
    logger.debug("sql: %s", request.query)  # a query may name people
    snapshot, began = services.views.current(), time.perf_counter()
    answer: dict[str, Any] = await services.sql.answer(
        request.query, snapshot, _alerts(services, snapshot), request.limit or most
    )
    elapsed = round((time.perf_counter() - began) * 1000)
    about = {"complete": snapshot.complete, "run_id": snapshot.batch.run_id}
    return json_response(answer | {"elapsed_ms": elapsed, **about})

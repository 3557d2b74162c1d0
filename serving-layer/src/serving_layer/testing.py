"""Doubles and builders for tests and benchmarks: a speed server, event rows, a published run."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.alerts import ALERT_SCHEMA
from contracts.lake import SECURITY, manifest_path, run_directory, write_current
from contracts.views import (
    AGGREGATE_SCHEMA,
    BATCH_EVENT_SCHEMA,
    COMPONENTS,
    COUNT_FEATURES,
    FEATURES,
    HIGH_THREAT_SCORE,
    SEGMENT_SCHEMA,
    USER_SCHEMA,
    Manifest,
    PartitionSeam,
    RecordKind,
    ViewFile,
)

Record = dict[str, Any]

_POLL_SECONDS = 0.005
_HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def event_record(offset: int, **values: Any) -> Record:  # noqa: ANN401 - column values
    """Return a stored event of one partition with sensible values for what is not given."""
    record: Record = {
        "offset": offset,
        "ingested_at": START_MS + offset,
        "kind": int(RecordKind.EVENT),
        "event_id": f"evt_{offset:012x}",
        "user": "alice",
        "timestamp": START_MS + offset,
        "event_type": "auth_attempt",
        "status": "success",
        "source_ip": "10.0.0.1",
        "threat_score": 0.1,
        "anomaly_score": None,
        "is_anomaly": False,
        "reasons": None,
        **dict.fromkeys(COMPONENTS),
        **values,
    }
    names = ("event_id", "user", "timestamp", "event_type", "status", "source_ip", "threat_score")
    stored = {name: record[name] for name in names if record[name] is not None}
    record.setdefault("raw", json.dumps(stored).encode())
    if record["is_anomaly"]:
        record["anomaly_score"] = record["anomaly_score"] or 0.9
        record["reasons"] = record["reasons"] or ["first sight of 10.0.0.1"]
        record.update({name: record[name] or 0.5 for name in COMPONENTS})
    return record


def removed_record(offset: int, kind: RecordKind) -> Record:
    """Return a dead letter or a duplicate."""
    return {
        **dict.fromkeys(SEGMENT_SCHEMA.names),
        "offset": offset,
        "ingested_at": START_MS + offset,
        "kind": int(kind),
    }


def alert_record(topic: str, partition: int, offset: int, **values: Any) -> Record:  # noqa: ANN401
    """Return an alert raised by the event at an offset."""
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "alert_id": f"{topic}-{partition}-{offset}",
        "user_id": "alice",
        "alert_type": "SUSPICIOUS_LOGIN_PATTERN",
        "description": "3 failed logins within 5 minutes",
        "timestamp": START_MS + offset,
        "severity": "HIGH",
        "event_count": 3,
        "resolved": False,
        "rule_id": "failed-login-burst",
        "rule_version": "1",
        "first_seen": START_MS,
        "last_seen": START_MS + offset,
        "event_ids": [f"evt_{offset:012x}"],
        "source_ips": ["10.0.0.1"],
        "techniques": ["T1110"],
        **values,
    }


def segment_table(records: Sequence[Record]) -> pa.Table:
    """Return records as ``SEGMENT_SCHEMA`` rows."""
    return pa.Table.from_pylist(list(records), schema=SEGMENT_SCHEMA)


@dataclass(slots=True)
class LogPartition:
    """What a speed instance has read of one partition."""

    first_offset: int = 0
    next_offset: int = 0
    segments_from: int = 0
    records: list[Record] = field(default_factory=list)
    alerts: list[Record] = field(default_factory=list)

    def append(self, records: Sequence[Record], *, next_offset: int | None = None) -> None:
        """Commit records; offsets without one, up to ``next_offset``, were skipped."""
        self.records.extend(records)
        last = self.records[-1]["offset"] + 1 if self.records else self.next_offset
        self.next_offset = last if next_offset is None else next_offset

    def counted(self, kind: RecordKind) -> int:
        """Return how many records of a kind were read."""
        return sum(record["kind"] == kind for record in self.records)

    def skipped(self) -> int:
        """Return how many offsets the broker never delivered."""
        return self.next_offset - self.first_offset - len(self.records)


class SpeedServer:
    """Speaks the speed layer's queries over real HTTP, from lists in memory."""

    def __init__(self, port: int = 0) -> None:
        self.partitions: dict[tuple[str, int], LogPartition] = {}
        self.features: dict[str, Record] = {}
        """Live features by user."""
        self.refuse: int | None = None
        """Answer everything with this status, to play a broken instance."""
        self.key: str | None = None
        """Refuse who does not send this service key."""
        self._port = port
        self._server: Server | None = None

    def __enter__(self) -> "SpeedServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen; after ``stop`` on the same port again."""
        routes = [
            Route("/positions", self._positions),
            Route("/tail", self._tail),
            Route("/features/{user}", self._features),
        ]
        self._server = Server(Starlette(routes=routes), port=self._port)
        self._port = self._server.port

    def stop(self) -> None:
        """Stop listening; what was read stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def partition(self, topic: str, partition: int) -> LogPartition:
        """Return a partition, owned from now on."""
        return self.partitions.setdefault((topic, partition), LogPartition())

    def _refused(self, request: Request) -> Response | None:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return Response(status_code=401)
        return Response(status_code=self.refuse) if self.refuse else None

    async def _positions(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        return JSONResponse(
            {
                "instance": self.url,
                "partitions": [
                    {
                        "topic": topic,
                        "partition": number,
                        "first_offset": part.first_offset,
                        "segments_from": part.segments_from,
                        "next_offset": part.next_offset,
                        "high_watermark": part.next_offset,
                        "rows": part.counted(RecordKind.EVENT),
                        "dead_letters": part.counted(RecordKind.DEAD_LETTER),
                        "duplicates": part.counted(RecordKind.DUPLICATE),
                        "skipped": part.skipped(),
                    }
                    for (topic, number), part in self.partitions.items()
                ],
            }
        )

    async def _tail(self, request: Request) -> Response:
        deadline = time.monotonic() + int(request.query_params.get("wait_ms", 0)) / 1000
        after = [text.rsplit(":", 2) for text in request.query_params.getlist("after")]
        while True:
            if refused := self._refused(request):
                return refused
            found = [self._range(name, int(number), int(start)) for name, number, start in after]
            ranges = [said for said, _, _ in found if said]
            if ranges:
                alerts = json.dumps([alert for *_, raised in found for alert in raised]).encode()
                return Response(
                    b"".join((*(content for _, content, _ in found), alerts)),
                    media_type="application/vnd.apache.arrow.stream",
                    headers={
                        "X-Ranges": json.dumps(ranges),
                        "X-Alerts-Bytes": str(len(alerts)),
                    },
                )
            if time.monotonic() >= deadline:
                return Response(status_code=204)
            await asyncio.sleep(_POLL_SECONDS)

    def _range(self, topic: str, number: int, start: int) -> tuple[Record, bytes, list[Record]]:
        """Return what is to be said of a partition, nothing if nothing new came; rows; alerts."""
        where, part = {"topic": topic, "partition": number}, self.partitions.get((topic, number))
        if part is None:
            return {**where, "owned": False}, b"", []
        if start < part.segments_from:
            return {**where, "segments_from": part.segments_from}, b"", []
        end = part.next_offset
        if end <= start:
            return {}, b"", []
        content = ipc_bytes(segment_table([r for r in part.records if r["offset"] >= start]))
        raised = [alert for alert in part.alerts if start <= alert["offset"] < end]
        sizes = {"alerts": len(raised), "bytes": len(content)}
        return {**where, "first_offset": start, "next_offset": end, **sizes}, content, raised

    async def _features(self, request: Request) -> Response:
        found = self.features.get(request.path_params["user"])
        return Response(status_code=404) if found is None else JSONResponse(found)


def ipc_bytes(table: pa.Table) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


class Server:
    """An ASGI application on a port of 127.0.0.1, in a thread of its own."""

    def __init__(self, app: Any, port: int = 0, **options: Any) -> None:  # noqa: ANN401 - uvicorn's
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_level="error",
            timeout_graceful_shutdown=1,
            **options,
        )
        self.app = app
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, "the server listens")
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Stop listening and wait for the thread."""
        self._server.should_exit = True
        self._thread.join(timeout=10)


def wait_until(true: Callable[[], object], what: str, timeout_seconds: float = 20.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: Naming what never came.
    """
    deadline = time.monotonic() + timeout_seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never came: {what}")
        time.sleep(_POLL_SECONDS)  # a poll of a real process or thread


@dataclass(frozen=True, slots=True)
class RunPartition:
    """One partition of a run to publish: records of ``[first_offset, next_offset)``."""

    topic: str
    partition: int
    records: Sequence[Record]
    next_offset: int
    first_offset: int = 0
    alerts: Sequence[Record] = ()

    def events(self) -> list[Record]:
        """Return the events as rows of ``BATCH_EVENT_SCHEMA``."""
        return [
            {**record, "topic": self.topic, "partition": self.partition}
            for record in self.records
            if record["kind"] == RecordKind.EVENT
        ]

    def seam(self) -> PartitionSeam:
        """Return the manifest's account of the partition."""
        kinds = [record["kind"] for record in self.records]
        return PartitionSeam(
            topic=self.topic,
            partition=self.partition,
            first_offset=self.first_offset,
            next_offset=self.next_offset,
            rows=kinds.count(RecordKind.EVENT),
            dead_letters=kinds.count(RecordKind.DEAD_LETTER),
            duplicates=kinds.count(RecordKind.DUPLICATE),
            skipped=self.next_offset - self.first_offset - len(kinds),
        )


def publish_run(
    lake: Path,
    run_id: str,
    partitions: Sequence[RunPartition],
    users: Sequence[Record] = (),
    *,
    current: bool = True,
    created_at: int = START_MS,
) -> Manifest:
    """Write a run with one event file per partition, and point ``CURRENT`` at it."""
    folder = run_directory(run_id).relative_to(SECURITY)
    events = [part.events() for part in partitions]
    event_files = [
        _write(lake, folder / f"events/part-{number}.parquet", rows, BATCH_EVENT_SCHEMA)
        for number, rows in enumerate(events)
    ]
    alerts = [alert for part in partitions for alert in part.alerts]
    alert_file = _write(lake, folder / "alerts/part-0.parquet", alerts, ALERT_SCHEMA)
    sums = aggregate_rows([row for rows in events for row in rows])
    aggregates = _write(lake, folder / "aggregates/part-0.parquet", sums, AGGREGATE_SCHEMA)
    user_files = [
        _write(
            lake,
            folder / f"users/is_anomaly={int(flag)}/part-0.parquet",
            [user for user in users if user["is_anomaly"] == flag],
            USER_SCHEMA,
        )
        for flag in (False, True)
    ]
    report = {"total_users": len(users), "anomalous_users": 0, "anomaly_rate": 0.0}
    report["anomalous_users"] = sum(bool(user["is_anomaly"]) for user in users)
    (lake / SECURITY / folder / "anomaly_report.json").write_text(json.dumps(report))
    manifest = Manifest(
        run_id=run_id,
        created_at=created_at,
        full=True,
        detection_version="test",
        scorer="calibrated",
        algorithm="isolation_forest",
        seam=[part.seam() for part in partitions],
        event_files=event_files,
        alert_files=[alert_file],
        aggregate_files=[aggregates],
        user_files=user_files,
        state_files=[],
        report=str(folder / "anomaly_report.json"),
    )
    (lake / manifest_path(run_id)).write_text(manifest.model_dump_json())
    if current:
        write_current(lake, run_id)
    return manifest


def user_record(user: str, *, is_anomaly: bool = False, score: float = 0.5) -> Record:
    """Return a user of a run."""
    features = {name: 3 if name in COUNT_FEATURES else 0.25 for name in FEATURES}
    reason = {"feature": "unique_ips", "value": 57.0, "typical": [1.0, 3.0, 8.0]}
    return {
        "user": user,
        "first_seen": START_MS,
        "last_seen": START_MS + 1,
        **features,
        "anomaly_score": score,
        "anomaly_score_normalized": score,
        "cluster": 1,
        "reasons": json.dumps([reason] if is_anomaly else []),
        "is_anomaly": is_anomaly,
    }


def aggregate_rows(events: Sequence[Record]) -> list[Record]:
    """Return ``AGGREGATE_SCHEMA`` rows of events."""
    rows: dict[tuple[Any, ...], Record] = {}
    for event in events:
        hour = event["timestamp"] // _HOUR_MS * _HOUR_MS
        key = (hour, event["event_type"], event["status"])
        row = rows.setdefault(
            key,
            {
                **dict.fromkeys(AGGREGATE_SCHEMA.names, 0),
                **dict(zip(("hour", "event_type", "status"), key, strict=True)),
            },
        )
        threat = event["threat_score"]
        row["events"] += 1
        row["anomalies"] += bool(event["is_anomaly"])
        row["threat_score_sum"] += threat or 0.0
        row["threat_score_count"] += threat is not None
        row["high_threat_events"] += threat is not None and threat >= HIGH_THREAT_SCORE
    return list(rows.values())


def _write(lake: Path, path: Path, rows: Sequence[Record], schema: pa.Schema) -> ViewFile:
    target = lake / SECURITY / path
    target.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(table, target, write_page_checksum=True)
    return ViewFile(path=str(path), rows=len(rows), bytes=target.stat().st_size)

"""Answer times of the serving layer over merged events, while 1,000 events/s arrive.

    python benchmarks/bench_serving.py             950,000 events in batch, 50,000 in realtime
    QUICK=1 python benchmarks/bench_serving.py     190,000 and 10,000

The serving layer is the real process over real files and real HTTP; each client is a process of
its own. The speed layer is played by a stand-in that serves generated Arrow segments over the same
protocol, and the batch run is written by this script: decoded by the contract's decoder, scores
made up (every 50th event is anomalous). Prints a table, and one line of JSON last.
"""

import asyncio
import http.client
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.alerts import ALERT_SCHEMA
from contracts.decoder import decode
from contracts.lake import SECURITY, manifest_path, run_directory, write_current
from contracts.topics import SECURITY_EVENTS
from contracts.views import (
    AGGREGATE_SCHEMA,
    BATCH_EVENT_SCHEMA,
    COMPONENTS,
    HIGH_THREAT_SCORE,
    SEGMENT_SCHEMA,
    USER_SCHEMA,
    Manifest,
    PartitionSeam,
    ViewFile,
)
from event_generator.clock import EventClock
from event_generator.security.stream import BATCH_SIZE, SecurityScenario, SecurityStream
from serving_layer.testing import ipc_bytes, wait_until

PARTITIONS = 4
RATE = 1_000
TICK_SECONDS = 0.05
HOUR_MS = 3_600_000
LIVE_SECONDS = 240
"""Events for so long are generated; the bench must be over by then."""


@dataclass(frozen=True)
class Sizes:
    """How many events lie where, and how long each question is asked."""

    batch: int
    realtime: int
    seconds: float


@dataclass(frozen=True)
class Answers:
    """Answer times of one question, milliseconds."""

    times: list[float]
    errors: int
    seconds: float

    def percentile(self, share: float) -> float:
        """Return a percentile of the answer times."""
        return float(np.percentile(self.times, share))


def main() -> None:
    """Write a run, start everything, ask, print the figures."""
    quick = bool(os.environ.get("QUICK"))
    sizes = Sizes(190_000, 10_000, 4.0) if quick else Sizes(950_000, 50_000, 10.0)
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), sizes)
    print(json.dumps(figures))


def measured(folder: Path, sizes: Sizes) -> dict[str, float]:
    """Return the figures of one bench."""
    live = min(RATE * LIVE_SECONDS, sizes.batch)
    tables = generated(sizes.batch + sizes.realtime + live)
    seam = sizes.batch // PARTITIONS
    publish(folder / "lake", [table.slice(0, seam) for table in tables])
    users = pc.unique(tables[0]["user"]).to_pylist()
    ids = tables[0]["event_id"].slice(0, 5_000).to_pylist()
    port, speed_port = free_port(), free_port()
    held = (sizes.batch + sizes.realtime) // PARTITIONS
    speed = multiprocessing.Process(
        target=play_speed_layer, args=(speed_port, [t.slice(seam) for t in tables], seam, held)
    )
    speed.start()
    started = time.perf_counter()
    serving = subprocess.Popen(
        [sys.executable, "-m", "serving_layer"],
        env=os.environ
        | {
            "SERVING_PORT": str(port),
            "SERVING_DASHBOARD_PORT": "0",
            "SERVING_SPEED_URLS": f"http://127.0.0.1:{speed_port}",
            "SERVING_LAKE_DIR": str(folder / "lake"),
            "SERVING_DATA_DIR": str(folder / "serving"),
        },
    )
    try:
        wait_until(lambda: is_ready(port), "the serving layer is ready", 300)
        print(
            f"{sizes.batch:,} events in batch, {sizes.realtime:,} in realtime, {RATE:,} events/s "
            f"arriving; ready after {time.perf_counter() - started:.1f} s"
        )
        return asked(port, questions(users, ids), sizes.seconds, serving.pid)
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(20)
        speed.terminate()
        speed.join()


def questions(users: list[str], ids: list[str]) -> dict[str, list[str]]:
    """Return the paths that each question asks in turn."""
    return {
        "events": ["/api/events?limit=100"],
        "user": [f"/api/anomalies/user/{quote(user)}" for user in users],
        "user_events": [f"/api/events?limit=100&user={quote(user)}" for user in users],
        "threats": ["/api/events/threats?min_score=0.9"],
        "event_by_id": [f"/api/events/{event_id}" for event_id in ids],
        "count_user": [f"/api/events/count?user={quote(user)}" for user in users],
        "summary": ["/api/stats/summary"],
        "consistency": ["/consistency"],
    }


def asked(
    port: int, paths: dict[str, list[str]], seconds: float, serving_pid: int
) -> dict[str, float]:
    """Ask every question with 1 and with 8 clients; print the table."""
    print(
        f"{'question':<14}{'clients':>8}{'p50 ms':>9}{'p99 ms':>9}{'req/s':>9}{'CPU ms':>8}"
        f"{'errors':>8}"
    )
    figures: dict[str, float] = {}
    errors = 0
    before = total_events(port)
    began = time.perf_counter()
    for clients in (1, 8):
        for name, asked_paths in paths.items():
            cpu = cpu_seconds(serving_pid)
            answers = ask(port, asked_paths, clients, seconds)
            cpu = cpu_seconds(serving_pid) - cpu
            errors += answers.errors
            suffix = "" if clients == 1 else f"_{clients}"
            figures[f"p99_ms_{name}{suffix}"] = round(answers.percentile(99), 2)
            print(
                f"{name:<14}{clients:>8}{statistics.median(answers.times):>9.2f}"
                f"{answers.percentile(99):>9.2f}{len(answers.times) / answers.seconds:>9.0f}"
                f"{cpu * 1000 / len(answers.times):>8.1f}{answers.errors:>8}"
            )
    rate = (total_events(port) - before) / (time.perf_counter() - began)
    account = json.loads(fetched(port, "/consistency"))
    delay = delay_p99_seconds(fetched(port, "/metrics"))
    memory = psutil.Process(serving_pid).memory_info().rss / 2**30
    print(
        f"arrived {rate:.0f} events/s; log to queryable p99 <= {delay * 1000:.0f} ms; "
        f"missing {account['missing']}, double {account['double']}; {memory:.2f} GiB"
    )
    return figures | {
        "errors": errors,
        "ingested_per_second": round(rate),
        "delay_p99_ms_at_most": delay * 1000,
        "missing": account["missing"],
        "double": account["double"],
        "memory_gib": round(memory, 2),
    }


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used; that of ingestion is in it."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def ask(port: int, paths: list[str], clients: int, seconds: float) -> Answers:
    """Ask from several client processes at once."""
    with multiprocessing.Pool(clients) as pool:
        found = pool.starmap(
            client, [(port, paths, number, seconds) for number in range(clients)], chunksize=1
        )
    return Answers(
        [each for times, _ in found for each in times], sum(errors for _, errors in found), seconds
    )


def client(port: int, paths: list[str], number: int, seconds: float) -> tuple[list[float], int]:
    """Ask one after the other over one connection; return milliseconds and failures."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    times: list[float] = []
    errors = 0
    deadline = time.perf_counter() + seconds
    turn = number * 7
    while (began := time.perf_counter()) < deadline:
        connection.request("GET", paths[turn % len(paths)])
        response = connection.getresponse()
        response.read()
        times.append((time.perf_counter() - began) * 1000)
        errors += response.status != http.client.OK
        turn += 1
    return times, errors


def generated(count: int) -> list[pa.Table]:
    """Return generated events as ``SEGMENT_SCHEMA`` rows, one table per partition."""
    first_ms = 1_700_000_000_000
    stream = SecurityStream(SecurityScenario(seed=7, clock=EventClock.at_rate(first_ms, RATE)))
    values: list[bytes] = []
    for index in range(-(-count // BATCH_SIZE)):
        values.extend(text.encode() for text in stream.batch(index).values)
    return [scored(values[partition:count:PARTITIONS]) for partition in range(PARTITIONS)]


def scored(values: list[bytes]) -> pa.Table:
    """Decode the events of one partition and make up their scores."""
    rng = np.random.default_rng(len(values))
    events = decode(SECURITY_EVENTS, 0, range(len(values)), values).events
    rows = events.num_rows
    anomalous = rng.random(rows) < 1 / 50
    reasons = pa.array([["first sight of this address"] if flag else None for flag in anomalous])
    made = {
        "ingested_at": events["timestamp"],
        "kind": pa.array(np.zeros(rows, np.uint8)),
        "anomaly_score": pa.array(np.where(anomalous, 0.7, 0.1) + rng.random(rows) * 0.2),
        "is_anomaly": pa.array(anomalous),
        "reasons": reasons.cast(pa.list_(pa.string())),
        "raw": pa.array(values, pa.binary()),
        **{name: pa.array(rng.random(rows)) for name in COMPONENTS},
    }
    columns = [made[name] if name in made else events[name] for name in SEGMENT_SCHEMA.names]
    return pa.table(columns, schema=SEGMENT_SCHEMA)


def publish(lake: Path, tables: list[pa.Table]) -> None:
    """Write a run with one event file per partition."""
    folder = run_directory("bench").relative_to(SECURITY)
    (lake / SECURITY / folder).mkdir(parents=True)
    event_files = [
        written(lake, folder / f"events-{number}.parquet", batch_rows(table, number))
        for number, table in enumerate(tables)
    ]
    aggregates = written(lake, folder / "aggregates.parquet", aggregated(pa.concat_tables(tables)))
    alerts = written(lake, folder / "alerts.parquet", ALERT_SCHEMA.empty_table())
    users = written(lake, folder / "users/is_anomaly=0/users.parquet", USER_SCHEMA.empty_table())
    (lake / SECURITY / folder / "anomaly_report.json").write_text("{}")
    manifest = Manifest(
        run_id="bench",
        created_at=int(time.time() * 1000),
        full=True,
        detection_version="bench",
        scorer="bench",
        algorithm="isolation_forest",
        seam=[
            PartitionSeam(
                topic=SECURITY_EVENTS,
                partition=number,
                first_offset=0,
                next_offset=table.num_rows,
                rows=table.num_rows,
            )
            for number, table in enumerate(tables)
        ],
        event_files=event_files,
        alert_files=[alerts],
        aggregate_files=[aggregates],
        user_files=[users],
        state_files=[],
        report=str(folder / "anomaly_report.json"),
    )
    (lake / manifest_path("bench")).write_text(manifest.model_dump_json())
    write_current(lake, "bench")


def batch_rows(table: pa.Table, partition: int) -> pa.Table:
    """Return the rows of one partition in ``BATCH_EVENT_SCHEMA``."""
    rows = table.num_rows
    columns = {
        "topic": pa.array([SECURITY_EVENTS] * rows),
        "partition": pa.array(np.full(rows, partition, np.int32)),
    }
    return pa.table(
        [columns[name] if name in columns else table[name] for name in BATCH_EVENT_SCHEMA.names],
        schema=BATCH_EVENT_SCHEMA,
    )


def aggregated(events: pa.Table) -> pa.Table:
    """Return ``AGGREGATE_SCHEMA`` rows of events."""
    hours = pc.multiply(pc.divide(events["timestamp"], HOUR_MS), HOUR_MS)
    threat = events["threat_score"]
    high = pc.fill_null(pc.greater_equal(threat, HIGH_THREAT_SCORE), False)
    table = pa.table(
        {
            "hour": hours,
            "event_type": events["event_type"],
            "status": events["status"],
            "threat": threat,
            "anomaly": pc.cast(events["is_anomaly"], pa.int64()),
            "high": pc.cast(high, pa.int64()),
        }
    )
    sums = table.group_by(["hour", "event_type", "status"]).aggregate(
        [([], "count_all"), ("anomaly", "sum"), ("high", "sum"), ("threat", "sum"),
         ("threat", "count")]
    )  # fmt: skip
    names = ("count_all", "anomaly_sum", "high_sum", "threat_sum", "threat_count")
    keys = ("hour", "event_type", "status")
    return pa.table([sums[name] for name in (*keys, *names)], names=AGGREGATE_SCHEMA.names).cast(
        AGGREGATE_SCHEMA
    )


def written(lake: Path, path: Path, table: pa.Table) -> ViewFile:
    """Write a file of the run and return how the manifest lists it."""
    target = lake / SECURITY / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target, compression="zstd")
    return ViewFile(path=str(path), rows=table.num_rows, bytes=target.stat().st_size)


def play_speed_layer(port: int, tables: list[pa.Table], seam: int, held: int) -> None:
    """Serve generated segments: ``held`` offsets per partition at once, then ``RATE`` a second.

    Not the speed layer: a stand-in that speaks its protocol.
    """
    began: list[float] = []

    def next_offset() -> int:
        if not began:
            began.append(time.time())
        ticks = int((time.time() - began[0]) / TICK_SECONDS)
        return min(held + int(ticks * TICK_SECONDS * RATE / PARTITIONS), seam + tables[0].num_rows)

    async def positions(_: Request) -> Response:
        end = next_offset()
        counts = {"rows": end, "dead_letters": 0, "duplicates": 0, "skipped": 0}
        offsets = {"first_offset": 0, "segments_from": seam, "next_offset": end}
        return JSONResponse(
            {
                "instance": "bench",
                "partitions": [
                    {"topic": SECURITY_EVENTS, "partition": number, "high_watermark": end}
                    | offsets
                    | counts
                    for number in range(PARTITIONS)
                ],
            }
        )

    async def segments(request: Request) -> Response:
        query = request.query_params
        start = int(query["from_offset"])
        deadline = time.time() + int(query["wait_ms"]) / 1000
        while (end := next_offset()) <= start:
            if time.time() > deadline:
                return Response(status_code=204)
            await asyncio.sleep(TICK_SECONDS / 5)
        rows = tables[int(query["partition"])].slice(start - seam, end - start)
        now = pa.array(np.full(rows.num_rows, int(time.time() * 1000)))
        at = SEGMENT_SCHEMA.get_field_index("ingested_at")
        rows = rows.set_column(at, SEGMENT_SCHEMA.field(at), now)
        headers = {"X-First-Offset": str(start), "X-Next-Offset": str(end), "X-Alerts": "0"}
        return Response(ipc_bytes(rows), headers=headers)

    app = Starlette(routes=[Route("/positions", positions), Route("/segments", segments)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def fetched(port: int, path: str) -> str:
    """Return the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def total_events(port: int) -> int:
    """Return how many events can be queried."""
    count: int = json.loads(fetched(port, "/api/events/count"))["count"]
    return count


def is_ready(port: int) -> bool:
    """Say whether both views are loaded."""
    try:
        return json.loads(fetched(port, "/api/health/ready"))["status"] == "ready"
    except (OSError, KeyError):
        return False


def delay_p99_seconds(metrics: str) -> float:
    """Return the upper bound of the histogram bucket that holds the 99th percentile.

    The rows that lie ready at the start carry the time they are served, as all others do.
    """
    buckets = [
        (float(line.split('le="')[1].split('"')[0]), float(line.rsplit(" ", 1)[1]))
        for line in metrics.splitlines()
        if line.startswith("serving_realtime_delay_seconds_bucket")
    ]
    total = buckets[-1][1]
    return next(bound for bound, count in buckets if count >= 0.99 * total)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    main()

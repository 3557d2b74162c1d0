"""Answer times of the serving layer over 10 million merged events, while 10,000 events/s arrive.

    python benchmarks/bench_serving.py             9.5 million events in batch, 0.5 million in realtime
    QUICK=1 python benchmarks/bench_serving.py     190,000 and 10,000

The serving layer is the real process over real files and real HTTP; each client is a process of its
own on the same machine. The speed layer is played by a stand-in that serves Arrow segments over the
same protocol. In the end a run is published while clients go on asking. Beside it, DuckDB and SQLite
answer the same questions in this process (see ``serving_yardsticks``). Prints a table, and one line of
JSON last.
"""

import asyncio
import http.client
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import serving_data as data
import serving_yardsticks as yardsticks
import uvicorn
from docs_section import write_section
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.lake import SECURITY, write_current
from contracts.topics import SECURITY_EVENTS
from contracts.views import SEGMENT_SCHEMA
from serving_layer.testing import ipc_bytes, wait_until

QUICK = os.environ.get("QUICK") == "1"
RATE = 10_000
TICK_SECONDS = 0.05
CLIENTS = (1, 8, 32)
PUBLISH_CLIENTS = 8


@dataclass(frozen=True)
class Sizes:
    """How many events lie where, and how long each question is asked."""

    generated: int
    batch: int
    realtime: int
    live: int
    seconds: float
    yardstick_seconds: float


SIZES = (
    Sizes(100_000, 190_000, 10_000, 600_000, 1.0, 0.5)
    if QUICK
    else Sizes(1_000_000, 9_500_000, 500_000, 2_500_000, 3.0, 3.0)
)


@dataclass
class Answers:
    """Answer times of one question, milliseconds."""

    times: list[float] = field(default_factory=list)
    errors: int = 0

    def percentile(self, share: float) -> float:
        """Return a percentile of the answer times."""
        return float(np.percentile(self.times, share))


def main() -> None:
    """Write a run, start everything, ask, print the figures."""
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), say)
    say(json.dumps(figures))
    if not QUICK:
        write_section("bench-serving", ["```", *lines, "```"])


def measured(folder: Path, say) -> dict[str, float]:  # noqa: ANN001 - prints a line
    """Return the figures of one bench."""
    events = data.generated(SIZES.generated)
    seam = SIZES.batch // data.PARTITIONS
    held = seam + SIZES.realtime // data.PARTITIONS
    lake = folder / "lake"
    first = data.write_run(lake, "r1", events, seam)
    data.write_run(lake, "r2", events, held, (first, seam))
    write_current(lake, "r1")
    users = pc.unique(events.tables[0]["user"]).to_pylist()[:500]
    rng = random.Random(7)
    offsets = [rng.randrange(held) for _ in range(5_000)]
    ids = [events.event_id(n % data.PARTITIONS, offset) for n, offset in enumerate(offsets)]
    times = [events.time_ms(offset) for offset in offsets]
    port, speed_port = free_port(), free_port()
    speed = multiprocessing.Process(
        target=play_speed_layer, args=(speed_port, events, seam, held), daemon=True
    )
    speed.start()
    events.tables.clear()
    started = time.perf_counter()
    serving = start_serving(port, speed_port, lake, folder / "serving")
    try:
        wait_until(lambda: is_ready(port), "the serving layer is ready", 900)
        say(
            f"{SIZES.batch:,} events in batch, {SIZES.realtime:,} in realtime, {RATE:,} events/s "
            f"arriving; ready after {time.perf_counter() - started:.0f} s"
        )
        with Memory(serving.pid) as memory:
            figures = asked(port, questions(users, ids, times), say)
            figures |= published(port, lake, users, say)
        figures["peak_memory_gib"] = memory.peak_gib
        say(f"memory at its peak: {memory.peak_gib:.2f} GiB beside mapped files")
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(30)
        speed.terminate()
        speed.join()
    # Only what was asked for: yardsticks answer over the 10 million events of the start.
    files = sorted(lake.glob(f"{SECURITY}/**/events-*.parquet"))
    asks = yardsticks.questions(users, ids, times)
    return figures | compared(figures, files, folder / "yardstick.sqlite", asks, say)


def start_serving(port: int, speed_port: int, lake: Path, own: Path) -> subprocess.Popen[bytes]:
    """Start the real process."""
    return subprocess.Popen(
        [sys.executable, "-m", "serving_layer"],
        env=os.environ
        | {
            "SERVING_PORT": str(port),
            "SERVING_DASHBOARD_PORT": "0",
            "SERVING_SPEED_URLS": f"http://127.0.0.1:{speed_port}",
            "SERVING_LAKE_DIR": str(lake),
            "SERVING_DATA_DIR": str(own),
        },
        stderr=subprocess.DEVNULL,
    )


def questions(users: list[str], ids: list[str], times: list[int]) -> dict[str, list[str]]:
    """Return the paths that each question asks in turn."""
    names = [quote(user) for user in users]
    return {
        "events": ["/api/events?limit=100"],
        "event_by_id": [f"/api/events/{event_id}" for event_id in ids],
        "user": [f"/api/anomalies/user/{name}?limit=100" for name in names],
        "count": [f"/api/events/count?user={name}" for name in names],
        "summary": ["/api/stats/summary"],
        "threats": ["/api/events/threats?min_score=0.9&limit=100"],
        "time_range": [
            f"/api/events/time-range?start_time={at}&end_time={at + 60_000}&limit=100"
            for at in times
        ],
        "user_page": [f"/api/users/{name}" for name in names],
    }


def asked(port: int, paths: dict[str, list[str]], say) -> dict[str, float]:  # noqa: ANN001
    """Ask every question with each number of clients; print the table."""
    say(f"{'question':<14}{'clients':>8}{'p50 ms':>9}{'p99 ms':>9}{'req/s':>9}{'errors':>8}")
    figures: dict[str, float] = {"errors": 0}
    before, began = total_events(port), time.perf_counter()
    for clients in CLIENTS:
        for name, asked_paths in paths.items():
            answers = ask(port, asked_paths, clients, SIZES.seconds)
            figures["errors"] += answers.errors
            figures[f"p99_ms_{name}_{clients}"] = round(answers.percentile(99), 2)
            say(
                f"{name:<14}{clients:>8}{answers.percentile(50):>9.2f}"
                f"{answers.percentile(99):>9.2f}{len(answers.times) / SIZES.seconds:>9.0f}"
                f"{answers.errors:>8}"
            )
    rate = (total_events(port) - before) / (time.perf_counter() - began)
    deep = deep_page_ratio(port)
    account = json.loads(fetched(port, "/consistency"))
    delay = delay_p99_seconds(fetched(port, "/metrics"))
    say(
        f"arrived {rate:,.0f} events/s; log to queryable p99 <= {delay * 1000:.0f} ms; page 200 costs "
        f"{deep:.2f} of page 1; missing {account['missing']}, double {account['double']}"
    )
    return figures | {
        "ingested_per_second": round(rate),
        "delay_p99_ms_at_most": delay * 1000,
        "deep_page_ratio": round(deep, 2),
        "missing": account["missing"],
        "double": account["double"],
    }


def published(port: int, lake: Path, users: list[str], say) -> dict[str, float]:  # noqa: ANN001
    """Publish the second run while clients ask; return the slowest answer and the errors."""
    names = [quote(user) for user in users]
    paths = ["/api/events?limit=100", "/api/stats/summary"]
    paths += [f"/api/anomalies/user/{name}?limit=100" for name in names]
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    clients = [
        multiprocessing.Process(target=ask_until, args=(port, paths, number, stop, results))
        for number in range(PUBLISH_CLIENTS)
    ]
    for each in clients:
        each.start()
    time.sleep(2)
    began = time.perf_counter()
    write_current(lake, "r2")
    wait_until(
        lambda: json.loads(fetched(port, "/api/metrics"))["run"]["run_id"] == "r2",
        "the second run is served",
        600,
    )
    taken = time.perf_counter() - began
    time.sleep(3)
    stop.set()
    found = [results.get(timeout=60) for _ in clients]
    for each in clients:
        each.join()
    slowest = max(max(times) for times, _ in found)
    errors = sum(errors for _, errors in found)
    say(
        f"a run of {SIZES.realtime:,} more events published under {PUBLISH_CLIENTS} clients: served "
        f"after {taken:.1f} s; slowest answer {slowest:.0f} ms; errors {errors}"
    )
    return {"publish_max_ms": round(slowest, 1), "publish_errors": errors}


def compared(
    figures: dict[str, float],
    files: list[Path],
    database: Path,
    asks: dict[str, list],
    say,  # noqa: ANN001
) -> dict[str, float]:
    """Ask the yardsticks; return our p99 over theirs, the worst of all questions."""
    duck = yardsticks.duckdb_times(files, asks, SIZES.yardstick_seconds)
    lite = yardsticks.sqlite_times(files, database, asks, SIZES.yardstick_seconds)
    say("the same questions, one client; DuckDB and SQLite in-process, without HTTP and JSON")
    say(f"{'p99 ms':<14}{'ours':>9}{'DuckDB':>9}{'SQLite':>9}")
    ratios = []
    for name in asks:
        ours = figures[f"p99_ms_{name}_1"]
        theirs, lites = (float(np.percentile(found[name], 99)) for found in (duck, lite))
        ratios.append(ours / theirs)
        say(f"{name:<14}{ours:>9.2f}{theirs:>9.2f}{lites:>9.2f}")
    return {"ratio_to_duckdb": round(max(ratios), 3)}


def ask(port: int, paths: list[str], clients: int, seconds: float) -> Answers:
    """Ask from several client processes at once."""
    with multiprocessing.Pool(clients) as pool:
        found = pool.starmap(
            client, [(port, paths, number, seconds) for number in range(clients)], chunksize=1
        )
    return Answers([each for times, _ in found for each in times], sum(n for _, n in found))


def client(port: int, paths: list[str], number: int, seconds: float) -> tuple[list[float], int]:
    """Ask one after the other over one connection; return milliseconds and failures."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    deadline = time.perf_counter() + seconds
    times: list[float] = []
    errors, turn = 0, number * 7
    while time.perf_counter() < deadline:
        took, is_good = one(connection, paths[turn % len(paths)])
        times.append(took)
        errors += not is_good
        turn += 1
    return times, errors


def ask_until(port: int, paths: list[str], number: int, stop, results) -> None:  # noqa: ANN001
    """Ask until told to stop."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    times: list[float] = []
    errors, turn = 0, number * 7
    while not stop.is_set():
        took, is_good = one(connection, paths[turn % len(paths)])
        times.append(took)
        errors += not is_good
        turn += 1
    results.put((times, errors))


def one(connection: http.client.HTTPConnection, path: str) -> tuple[float, bool]:
    """Ask once; return milliseconds and whether the answer was good."""
    began = time.perf_counter()
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return (time.perf_counter() - began) * 1000, False
    return (time.perf_counter() - began) * 1000, response.status == http.client.OK


def deep_page_ratio(port: int) -> float:
    """Return what a page far down a list costs, in units of the first page."""
    path, cursor, times = "/api/events?limit=100", None, []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(200):
        began = time.perf_counter()
        connection.request("GET", path + (f"&cursor={cursor}" if cursor else ""))
        cursor = json.loads(connection.getresponse().read())["next_cursor"]
        times.append(time.perf_counter() - began)
    return float(np.median(times[-20:]) / np.median(times[:20]))


class Memory:
    """The most memory that a process held, beside files it maps: the kernel can drop those."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_gib = 0.0

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            for line in self._status.read_text().splitlines():
                if line.startswith("RssAnon"):
                    self.peak_gib = max(self.peak_gib, round(int(line.split()[1]) / 2**20, 2))


def play_speed_layer(port: int, events: data.Repeated, seam: int, held: int) -> None:
    """Serve segments: ``held`` offsets per partition at once, then ``RATE`` events a second.

    Not the speed layer: a stand-in that speaks its protocol.
    """
    most = held + SIZES.live // data.PARTITIONS
    tables = [
        pa.concat_tables(list(events.chunks(number, seam, most))).combine_chunks()
        for number in range(data.PARTITIONS)
    ]
    began: list[float] = []

    def next_offset() -> int:
        if not began:
            began.append(time.time())
        ticks = int((time.time() - began[0]) / TICK_SECONDS)
        return min(held + int(ticks * TICK_SECONDS * RATE / data.PARTITIONS), most)

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
                    for number in range(data.PARTITIONS)
                ],
            }
        )

    async def tail(request: Request) -> Response:
        query = request.query_params
        after = [text.rsplit(":", 2) for text in query.getlist("after")]
        starts = {int(number): int(offset) for _, number, offset in after}
        deadline = time.time() + int(query["wait_ms"]) / 1000
        while (end := next_offset()) <= min(starts.values()):
            if time.time() > deadline:
                return Response(status_code=204)
            await asyncio.sleep(TICK_SECONDS / 5)
        ranges: list[dict[str, Any]] = []
        content: list[bytes] = []
        for number, start in starts.items():
            if end <= start:
                continue
            rows = tables[number].slice(start - seam, end - start)
            now = pa.array(np.full(rows.num_rows, int(time.time() * 1000)))
            at = SEGMENT_SCHEMA.get_field_index("ingested_at")
            content.append(ipc_bytes(rows.set_column(at, SEGMENT_SCHEMA.field(at), now)))
            covered = {"first_offset": start, "next_offset": end, "alerts": 0}
            where = {"topic": SECURITY_EVENTS, "partition": number}
            ranges.append(where | covered | {"bytes": len(content[-1])})
        headers = {"X-Ranges": json.dumps(ranges), "X-Alerts-Bytes": "2"}
        return Response(b"".join((*content, b"[]")), headers=headers)

    async def features(request: Request) -> Response:
        return JSONResponse({"user": request.path_params["user"], "total_events": 1})

    routes = [
        Route("/positions", positions),
        Route("/tail", tail),
        Route("/features/{user}", features),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error")


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

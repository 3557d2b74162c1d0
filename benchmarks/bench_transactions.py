"""Transactions: seeding, paging at any depth, and a stream that keeps its rate beside batches.

    make bench-transactions            # 1,000,000 rows; 1,000 transactions/s, 180 s a phase
    QUICK=1 make bench-transactions    # 100,000 rows; 200/s, 15 s a phase

* seed: ``python -m event_generator seed``, a process from start to exit.
* batch: an analysis over the seeded lake by itself, from submission to its end. The first one of a
  session compiles; the second one counts.
* paging: pages of 100 rows at the beginning, in the middle and at
  the end, each asked for over HTTP from the running service. The stream is stopped meanwhile.
* stream: a producer keeps a rate; the streaming queries store it, first alone, then beside three and
  eight batches over the seeded lake, submitted anew as they end. ``stored`` counts what came into
  ``stream/transactions`` in the phase; what is waiting at its end was produced and not yet stored.
* stop: ``POST /stop`` while the stream and batches run; then the processes that are left.

The last line is JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from docs_section import write_section

from batch_layer.testing import BatchProcess, wait_for
from batch_layer.transactions.sources import is_table
from batch_layer.transactions.tables import row_count
from local_stack.testing import Broker

QUICK = os.environ.get("QUICK") == "1"
ROWS = 100_000 if QUICK else 1_000_000
RATE = 200 if QUICK else 1_000
PHASE_SECONDS = 15.0 if QUICK else 180.0
PAGES = 50 if QUICK else 300
PAGE_ROWS = 100
TOPIC = "transactions-stream"
START = "2026-01-01"
BODY = {"startDate": START, "endDate": "2026-12-31", "analysisType": "revenue_by_category"}


class Report(list[str]):
    """Lines of the section, printed as they come."""

    def say(self, *lines: str) -> None:
        """Print and keep lines."""
        print("\n".join(lines), flush=True)
        self.extend(lines)


def seed(lake: Path) -> float:
    """Write the history; return the wall seconds."""
    env = os.environ | {
        "TOTAL_RECORDS": str(ROWS),
        "DELTA_OUTPUT_PATH": str(lake / "seed/transactions"),
    }
    command = [sys.executable, "-m", "event_generator", "seed", "--seed", "1"]
    started = time.monotonic()
    subprocess.run([*command, "--start-time", START], env=env, check=True, capture_output=True)
    return time.monotonic() - started


def paged(url: str, batch_id: str, total: int) -> dict[str, list[float]]:
    """Ask for pages at three depths; return the milliseconds of each."""
    found: dict[str, list[float]] = {}
    depths = {"first": 0, "middle": total // 2, "last": total - PAGE_ROWS}
    for name, offset in depths.items():
        for number in range(PAGES):
            address = f"{url}/batch/data/{batch_id}?limit={PAGE_ROWS}&offset={offset}"
            started = time.perf_counter()
            with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 (ours)
                body = answer.read()
            spent = (time.perf_counter() - started) * 1000
            if number:
                found.setdefault(name, []).append(spent)
            elif len(json.loads(body)["data"]) != PAGE_ROWS:
                raise AssertionError(f"{name} page is not whole")
    return found


@contextmanager
def producing(servers: str) -> Iterator[None]:
    """Let the generator keep the rate."""
    env = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": servers, "EVENTS_PER_SECOND": str(RATE)}
    command = [sys.executable, "-m", "event_generator", "transactions"]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def kept_busy(service: BatchProcess, batches: int, stop: threading.Event) -> list[str]:
    """Keep so many batches running until told to stop; return the ids of those that completed."""
    running: list[str] = []
    completed: list[str] = []
    while not stop.wait(0.2):
        for batch_id in list(running):
            status = service.get(f"/batch/status/{batch_id}")["status"]
            if status not in ("PENDING", "RUNNING"):
                if status != "COMPLETED":
                    raise AssertionError(f"{batch_id}: {status}")
                running.remove(batch_id)
                completed.append(batch_id)
        while len(running) < batches:
            running.append(service.post("/batch/run", BODY)["batchId"])
    for batch_id in running:
        service.request("DELETE", f"/batch/{batch_id}")
        service.finished(batch_id)
    return completed


def phase(service: BatchProcess, batches: int) -> tuple[float, int]:
    """Return the share of the rate that was stored meanwhile, and the batches completed."""
    table = service.lake / "stream/transactions"
    stop, completed = threading.Event(), list[str]()
    worker = threading.Thread(target=lambda: completed.extend(kept_busy(service, batches, stop)))
    worker.start()
    before, started = row_count(table), time.monotonic()
    time.sleep(PHASE_SECONDS)  # the length of the measurement
    stored, seconds = row_count(table) - before, time.monotonic() - started
    stop.set()
    worker.join()
    return stored / seconds / RATE, len(completed)


def stopped(service: BatchProcess) -> tuple[float, int]:
    """Stop over the API in the middle of work; return the seconds and the processes left."""
    process = service.process
    if process is None:
        raise AssertionError("the service was never started")
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    service.post("/batch/run", BODY)
    started = time.monotonic()
    service.post("/stop")
    code = process.wait(180)
    seconds = time.monotonic() - started
    if code:
        raise AssertionError(f"exit code {code}")
    return seconds, len(psutil.wait_procs(family, timeout=30)[1])


def measured(folder: Path, broker: Broker) -> tuple[list[str], dict[str, float]]:
    """Run everything; return the lines and the figures."""
    settings = {
        "BATCH_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "BATCH_STREAM_TRIGGER": "PT2S",
        "BATCH_SPARK_DRIVER_MEMORY": "2g",
    }
    service = BatchProcess(folder, settings)
    seconds = seed(service.lake)
    figures = {"seed_s": round(seconds, 1)}
    lines = Report()
    lines.say(f"Seeding {ROWS:,} transactions: {seconds:.1f} s.", "")
    with service:
        for _ in range(2):
            started = time.monotonic()
            record = service.batch(BODY)
            if record["status"] != "COMPLETED":
                raise AssertionError(record["errorMessage"])
        figures["batch_s"] = round(time.monotonic() - started, 1)
        lines.say(f"A batch over them, alone: {figures['batch_s']} s.", "")
        head = f"| page of {PAGE_ROWS} of {record['rowCount']:,} rows | p50 ms | p99 ms |"
        lines.say(head, "|---|---|---|")
        for name, spent in paged(service.url, record["batchId"], record["rowCount"]).items():
            p50, p99 = np.percentile(spent, [50, 99])
            lines.say(f"| {name} | {p50:.0f} | {p99:.0f} |")
            figures[f"{name}_page_p99_ms"] = round(float(p99), 1)
        head = f"| batches at once, {RATE}/s produced | stored, share of it | completed |"
        lines.say("", head, "|---|---|---|")
        with producing(broker.bootstrap_servers):
            service.post("/stream/start", {"topic": TOPIC})
            table = service.lake / "stream/transactions"
            wait_for(
                "the first rows", lambda: is_table(table) and row_count(table) > 10 * RATE, 300
            )
            for batches in (0, 3, 8):
                kept, completed = phase(service, batches)
                lines.say(f"| {batches} | {kept:.2f} | {completed} |")
                figures[f"kept_beside_{batches}"] = round(kept, 3)
            spent, left = stopped(service)
    lines.say("", f"`POST /stop` beside stream and batch: {spent:.1f} s, {left} processes left.")
    return lines, figures | {"stop_s": round(spent, 1), "processes_left": left}


def main() -> None:
    """Measure, print, and keep the section of a full run."""
    with tempfile.TemporaryDirectory() as name, Broker(Path(name)) as broker:
        broker.create_topic(TOPIC, 4)
        lines, figures = measured(Path(name), broker)
    print(json.dumps(figures))
    if not QUICK:
        write_section("bench-transactions", lines)


if __name__ == "__main__":
    main()

"""One real serving layer and assistant for all browser tests, and one Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.lake import SECURITY
from serving_layer.front_door.keys import KeyStore
from serving_layer.testing import (
    RunPartition,
    SpeedServer,
    alert_record,
    event_record,
    publish_run,
    user_record,
    wait_until,
)

TOPIC = "security-events"
CHROMIUM = shutil.which("chromium")
DESKTOP = {"width": 1280, "height": 900}

WINDOWS = [
    {
        "window_start": f"2026-01-01T12:{minute:02}:00Z",
        "window_end": f"2026-01-01T12:{minute + 5:02}:00Z",
        "category": category,
        "txn_count": 10 + minute,
        "window_revenue": 1_000.5 + minute,
        "avg_order_value": 100.0,
        "fraud_alerts": minute % 3,
        "approx_unique_customers": 9,
    }
    for minute in range(8)
    for category in ("Electronics", "Books")
]
RUN = {
    "createdAt": 1_767_225_900_000,
    "users": 3,
    "anomalousUsers": 1,
    "events": 6,
    "algorithm": "isolation_forest",
    "scorer": "calibrated",
    "detectionVersion": "test",
    "modelRunId": None,
}
COMPARISON = {
    "a": {"runId": "r1", **RUN},
    "b": {"runId": "r2", **RUN},
    "settingsChanged": [],
    "usersNew": 1,
    "usersGone": 0,
    "added": [
        {
            "user": "mallory",
            "scoreA": 0.2,
            "scoreB": 0.9,
            "isAnomalyA": False,
            "isAnomalyB": True,
            "clusterA": 1,
            "clusterB": 1,
            "moved": [{"feature": "unique_ips", "a": 3, "b": 57, "deviations": 9.1}],
            "reasons": [],
        }
    ],
    "dropped": [],
    "changed": [],
    "totals": {"added": 1, "dropped": 0, "changed": 0},
    "drift": {"unique_ips": 0.31, "total_events": 0.04},
}
BATCH = {
    "batchId": "batch-1",
    "status": "COMPLETED",
    "analysisType": "full_report",
    "submitTime": "2026-01-01T12:00:00Z",
    "endTime": "2026-01-01T12:01:00Z",
    "rowCount": 1200,
    "errorMessage": None,
}
BATCH_ANSWERS = {
    "/health": {"status": "healthy", "spark": True, "uptime": 600},
    "/security/runs": {
        "total": 1,
        "runs": [
            {
                "runId": "r2",
                "status": "COMPLETED",
                "submitTime": "2026-01-01T12:00:00Z",
                "message": "published",
                "errorMessage": None,
            }
        ],
    },
    "/security/runs/compare": COMPARISON,
    "/stream/status": {
        "active": True,
        "topic": "transactions-stream",
        "queries": [
            {
                "name": "aggregations",
                "isActive": True,
                "lastProgress": {"processedRowsPerSecond": 120.5},
                "restarts": 0,
                "exception": None,
                "lastError": None,
            }
        ],
    },
    "/tables/stream/stream_aggregations/data": {"rowCount": len(WINDOWS), "data": WINDOWS},
    "/batch/list": {
        "total": 2,
        "batches": [BATCH, {**BATCH, "batchId": "batch-2", "analysisType": "fraud_scoring"}],
    },
    "/batch/data/batch-2/aggregated": {
        "batchId": "batch-2",
        "analysisType": "fraud_scoring",
        "data": [
            {
                "transaction_id": "txn-7",
                "customer_id": "C7",
                "total_amount": 912.5,
                "risk": 0.93,
                "reasons": ["the amount is 9 times the customer's usual"],
            }
        ],
    },
    "/batch/data/batch-1/aggregated": {
        "batchId": "batch-1",
        "analysisType": "full_report",
        "data": {
            "revenue_by_category": [
                {"category": "Electronics", "total_revenue": 9_000.0},
                {"category": "Books", "total_revenue": 1_000.0},
            ],
            "hourly_trends": [{"event_hour": 9, "hourly_revenue": 10.0}],
        },
    },
}


NO_DATA = {
    "/health": {"status": "healthy", "spark": True, "uptime": 600},
    "/security/runs": {"total": 0, "runs": []},
    "/stream/status": {"active": False, "topic": None, "queries": []},
    "/batch/list": {"total": 0, "batches": []},
}
"""What the batch layer answers before anything was asked of it."""


class Double:
    """Answers HTTP in a thread."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class BatchDouble(Double):
    """Answers the batch layer's documented reads with fixed bodies; Spark has tests of its own."""

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        bodies = BATCH_ANSWERS if answers is None else answers

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = bodies.get(self.path.split("?")[0])
                self.send_response(404 if body is None else 200)
                self.end_headers()
                missing = {"error": "NOT_FOUND", "message": self.path}
                self.wfile.write(json.dumps(missing if body is None else body).encode())

            def log_message(self, *_):
                pass

        super().__init__(Handler)


class RecordingDouble(Double):
    """An assistant that refuses, and remembers whose key each question carried."""

    def __init__(self) -> None:
        self.credentials: list[str | None] = []
        seen = self.credentials

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                seen.append(self.headers["authorization"])
                self.send_response(503)
                self.end_headers()
                self.wfile.write(b'{"detail": "the double only listens"}')

            def log_message(self, *_):
                pass

        super().__init__(Handler)


@dataclass
class Keyed:
    """A serving layer that asks for keys."""

    url: str
    keys: dict[str, str]
    data: Path
    assistant: RecordingDouble


@dataclass
class Dashboard:
    """The running system as the browser tests see it."""

    url: str
    speed: SpeedServer
    http: httpx.Client
    lake: Path
    batch_url: str
    processes: list[subprocess.Popen] = field(default_factory=list)

    def raise_alert(self, **values) -> dict:
        """Commit an event that raises an alert, as the speed layer does; return the alert."""
        part = self.speed.partition(TOPIC, 0)
        offset = part.next_offset
        now = time.time_ns() // 1_000_000
        alert = alert_record(TOPIC, 0, offset, timestamp=now, last_seen=now, **values)
        part.alerts.append(alert)
        user = alert["user_id"]
        part.append([event_record(offset, timestamp=now, ingested_at=now, user=user)])
        return alert


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(module: str, folder: Path, **settings) -> subprocess.Popen:
    # NiceGUI behaves differently where it finds itself inside pytest.
    kept = {k: v for k, v in os.environ.items() if "PYTEST" not in k and "OPENAI" not in k}
    return subprocess.Popen(
        [sys.executable, "-m", module],
        env=kept | {name: str(value) for name, value in settings.items()},
        cwd=folder,
    )


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def fill(lake: Path, speed: SpeedServer) -> None:
    """Two runs of three users, and live events of mallory, one of them an anomaly."""
    now = time.time_ns() // 1_000_000
    names = ("alice", "bob", "mallory")
    events = [
        event_record(o, user=names[o % 3], timestamp=now - 60_000 + o, ingested_at=now)
        for o in range(9)
    ]
    events[8] = event_record(
        8,
        user="mallory",
        timestamp=now - 1_000,
        ingested_at=now,
        source_ip="203.0.113.7",
        is_anomaly=True,
        anomaly_score=0.93,
        reasons=["source address 203.0.113.7 is rare (1 of 9 events)"],
    )
    part = speed.partition(TOPIC, 0)
    old = alert_record(
        TOPIC, 0, 1, user_id="bob", severity="LOW", timestamp=now - 50_000, description="old burst"
    )
    part.alerts.append(old)
    users = [user_record(name, is_anomaly=name == "mallory", score=0.6) for name in names]
    for run_id, seam in (("r1", 3), ("r2", 6)):
        manifest = publish_run(
            lake, run_id, [RunPartition(TOPIC, 0, events[:seam], seam, alerts=[old])], users
        )
    report = lake / SECURITY / manifest.report
    segments = [{"cluster": 1, "name": "many addresses", "users": 3, "profile": []}]
    report.write_text(json.dumps({**json.loads(report.read_text()), "segments": segments}))
    part.append(events)
    speed.features["mallory"] = {"user": "mallory", "total_events": 3, "unique_ips": 57}


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A serving layer with data, the batch layer's double, and the assistant without a model."""
    folder = tmp_path_factory.mktemp("dashboard")
    lake = folder / "lake"
    lake.mkdir()
    batch = BatchDouble()
    port, assistant_port = free_port(), free_port()
    url, assistant = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{assistant_port}"
    with SpeedServer() as speed, httpx.Client(base_url=url, trust_env=False) as http:
        fill(lake, speed)
        made = Dashboard(url, speed, http, lake, batch.url)
        made.processes = [
            start(
                "serving_layer",
                folder,
                SERVING_PORT=port,
                SERVING_DASHBOARD_PORT=0,
                SERVING_SPEED_URLS=speed.url,
                SERVING_LAKE_DIR=lake,
                SERVING_DATA_DIR=folder / "serving",
                SERVING_BATCH_URL=batch.url,
                SERVING_ASSISTANT_URL=assistant,
                SERVING_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9",
            ),
            start(
                "genai_assistant",
                folder,
                ASSISTANT_PORT=assistant_port,
                ASSISTANT_SERVING_URL=url,
                ASSISTANT_BATCH_URL=batch.url,
                ASSISTANT_DATA_DIR=folder / "assistant",
                ASSISTANT_ANALYST_ENABLED="false",
            ),
        ]
        try:
            wait_until(lambda: answers(f"{url}/api/health/ready"), "serving is ready", 240)
            wait_until(lambda: answers(f"{assistant}/health"), "the assistant answers", 240)
            yield made
        finally:
            for process in made.processes:
                process.terminate()
            for process in made.processes:
                process.wait(20)
            batch.stop()


@pytest.fixture(scope="module")
def keyed(dashboard: Dashboard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """The same data behind a serving layer that asks for keys, with a key of each scope."""
    folder = tmp_path_factory.mktemp("keyed")
    with closing(KeyStore(folder / "serving")) as store:
        keys = {scope: store.create(scope, scope)[1] for scope in ("read", "write")}
    port = free_port()
    assistant = RecordingDouble()
    process = start(
        "serving_layer",
        folder,
        SERVING_PORT=port,
        SERVING_DASHBOARD_PORT=0,
        SERVING_REQUIRE_KEYS="true",
        SERVING_SPEED_URLS=dashboard.speed.url,
        SERVING_LAKE_DIR=dashboard.lake,
        SERVING_DATA_DIR=folder / "serving",
        SERVING_BATCH_URL=dashboard.batch_url,
        SERVING_ASSISTANT_URL=assistant.url,
        SERVING_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9",
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{url}/api/health/ready"), "the keyed server is ready", 240)
        yield Keyed(url, keys, folder / "serving", assistant)
    finally:
        process.terminate()
        process.wait(20)
        assistant.stop()


@pytest.fixture(scope="module")
def without_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a serving layer whose lake, log and batch layer hold nothing."""
    folder = tmp_path_factory.mktemp("nothing")
    (folder / "lake").mkdir()
    port, batch = free_port(), BatchDouble(NO_DATA)
    with SpeedServer() as speed:
        process = start(
            "serving_layer",
            folder,
            SERVING_PORT=port,
            SERVING_DASHBOARD_PORT=0,
            SERVING_SPEED_URLS=speed.url,
            SERVING_LAKE_DIR=folder / "lake",
            SERVING_DATA_DIR=folder / "serving",
            SERVING_BATCH_URL=batch.url,
            SERVING_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9",
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(f"{url}/api/events"), "the empty views", 240)
            yield url
        finally:
            process.terminate()
            process.wait(20)
            batch.stop()


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, without a network: only loopback answers.

    Per module: while it runs, Playwright's event loop keeps ``asyncio.run`` from other tests.
    """
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield running
        running.close()


@pytest.fixture
def page(browser, dashboard):
    """A page of the dashboard at desktop width; anything the console calls an error fails the test."""
    context = browser.new_context(base_url=dashboard.url, viewport=DESKTOP)
    opened = context.new_page()
    problems = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "console",
        lambda said: said.type == "error" and problems.append(f"{said.text} {said.location}"),
    )
    opened.on("requestfailed", lambda one: problems.append(f"{one.url} {one.failure}"))
    opened.set_default_timeout(15_000)
    yield opened
    context.close()
    assert problems == []

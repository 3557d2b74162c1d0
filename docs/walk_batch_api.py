"""Call every route of the batch layer's control API, live, and write down what it answers.

    python docs/walk_batch_api.py          # about two minutes; writes docs/reference/batch-api.md

Starts a broker and a batch layer of its own in a temporary folder, has the generator write events
and transactions, walks through the routes in the order a user would, and stops it. A test compares
the routes of the page with those of the OpenAPI document, so a new route needs a step here.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import detection as rule_files
from batch_layer.app import create_app
from batch_layer.settings import Settings
from batch_layer.testing import BatchProcess, wait_for
from batch_layer.transactions.sources import is_table
from batch_layer.transactions.tables import row_count
from local_stack.testing import Broker

PAGE = Path(__file__).parent / "reference" / "batch-api.md"
TRANSACTIONS, EVENTS = 2_000, 3_000
START = "2026-03-02T08:00:00Z"
MOST_ITEMS, MOST_TEXT, MOST_LINES = 2, 160, 60
MOST_SECONDS = 1800
STREAM = "transactions-stream"
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
HEAD = """# Batch API, route by route

Written by `python docs/walk_batch_api.py` from a live run: a broker and a batch layer of its own, {transactions:,} transactions (one
of them damaged) and {events:,} security events of the generator. Lists are cut after {items} items, and say how many follow. Every call that
needs it answers errors as `{{error, message, timestamp}}`; which: [errors](errors.md#batch_layer). What the fields mean:
[README of the batch layer](../../batch-layer/README.md).
"""


@dataclass(slots=True)
class Walk:
    """Calls routes and keeps what to write down, by route."""

    service: BatchProcess
    folder: Path
    sections: dict[str, list[str]] = field(default_factory=dict)

    def call(self, route: str, body: object = None, why: str = "", **values: str) -> Any:  # noqa: ANN401
        """Call a route such as ``GET /batch/status/{batch_id}``; ``query`` is what follows ``?``."""
        method, template = route.split(" ", 1)
        query = values.pop("query", "")
        path = template.format(**values) + (f"?{query}" if query else "")
        status, answer = self.service.request(method, path, body)
        self.sections.setdefault(route, []).append(
            "\n".join([why, "", *self._shown(method, path, body, status, answer)]).strip()
        )
        return answer

    def _shown(
        self, method: str, path: str, body: object, status: int, answer: object
    ) -> list[str]:
        command = f"curl -s -X {method}" if method != "GET" else "curl -s"
        quoted = f"'localhost:8080{path}'" if "?" in path else f"localhost:8080{path}"
        lines = [f"$ {command} {quoted}"]
        if body is not None:
            lines[0] += f" -H 'content-type: application/json' -d '{json.dumps(body)}'"
        text = answer if isinstance(answer, str) else json.dumps(shortened(answer), indent=2)
        shown = text.replace(str(self.folder), "/data").splitlines()
        more = [f"... {len(shown) - MOST_LINES} more lines"] if len(shown) > MOST_LINES else []
        return ["```console", *lines, f"HTTP {status}", *shown[:MOST_LINES], *more, "```"]


def shortened(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return JSON with long lists and texts cut."""
    if isinstance(value, dict):
        return {name: shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        more = [f"... {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else []
        return [shortened(inner) for inner in value[:MOST_ITEMS]] + more
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return value[:MOST_TEXT] + "..."
    return value


def routes() -> dict[str, str]:
    """Return every route of the OpenAPI document with its description."""
    paths = create_app(Settings()).openapi()["paths"]
    return {
        f"{method.upper()} {path}": operation.get("description", "")
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def generate(servers: str) -> None:
    """Write transactions, one damaged record, and security events."""
    env = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "NUM_CUSTOMERS": "40",
        "FRAUD_MODE": "realistic",
        "EVENTS_PER_SECOND": "0",
    }
    generator = [sys.executable, "-m", "event_generator"]
    span = ["--seed", "1", "--start-time", START, "--clock-span", "604800"]
    for words in (
        ["transactions", "--count", str(TRANSACTIONS - 1)],
        ["security", "--broker", servers, "--rate", "0", "--count", str(EVENTS)],
    ):
        subprocess.run([*generator, *words, *span], env=env, check=True, capture_output=True)
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": servers})
    producer.produce(STREAM, b'{"customer_id": "CUST-000001"')
    producer.flush(30)


def walk(walker: Walk) -> None:
    """Take the steps a user would."""
    walker.call("GET /health")
    streams(walker)
    batch_id = batches(walker)
    tables(walker, f"batches/{batch_id}/raw")
    security(walker)
    backtest(walker)
    walker.call("GET /metrics")
    walker.call("POST /stop")


def streams(walker: Walk) -> None:
    """Start the stream, let it store the topic, stop it."""
    walker.call("POST /stream/start", {"topic": STREAM})
    walker.call("POST /stream/start", {"topic": STREAM}, "Once more is refused:")
    stored = walker.service.lake / "stream/transactions"
    wait_for(
        "the stream to store the transactions",
        lambda: is_table(stored) and row_count(stored) == TRANSACTIONS - 1,
        MOST_SECONDS,
    )
    walker.call("GET /stream/status")
    walker.call("POST /stream/stop")


def batches(walker: Walk) -> str:
    """Run batches in both forms; return the id of the full report."""
    run, data = "POST /batch/run", "GET /batch/data/{batch_id}"
    body: dict[str, object] = {"topic": STREAM, "startOffset": "earliest", "endOffset": "latest"}
    report = walker.call(run, body | {"analysisType": "full_report"}, "A range of a topic:")
    lake = {"startDate": "2026-03-02", "endDate": "2026-03-08", "filters": {"region": "north"}}
    category = walker.call(
        run, lake | {"analysisType": "revenue_by_category"}, "Dates of the lake, with a filter:"
    )
    suspicious = walker.call(run, body | {"analysisType": "fraud_scoring"}, "Suspicious purchases:")
    walker.call(run, lake | {"analysisType": "revenue"}, "An unknown analysis:")
    walker.call(run, lake | {"analysisType": "fraud_scoring", "filters": {"colour": "red"}},
                "An unknown column:")  # fmt: skip
    late = {"0": 999_999_999}
    walker.call(run, body | {"endOffset": late, "analysisType": "fraud_analysis"},
                "An offset beyond the end:")  # fmt: skip
    dropped = walker.service.post("/batch/run", lake | {"analysisType": "hourly_trends"})["batchId"]
    walker.call("POST /batch/{batch_id}/cancel", batch_id=dropped)
    dropped = walker.service.post("/batch/run", lake | {"analysisType": "hourly_trends"})["batchId"]
    walker.call("DELETE /batch/{batch_id}", batch_id=dropped)
    walker.call(data, why="Of a batch that is not completed:", batch_id=dropped)
    for started in (report, category, suspicious):
        walker.service.finished(started["batchId"], MOST_SECONDS)
    walker.call("GET /batch/status/{batch_id}", batch_id=report["batchId"])
    walker.call("GET /batch/status/{batch_id}", why="An unknown id:", batch_id="batch-1")
    last = f"limit=1&offset={TRANSACTIONS - 2}"
    walker.call(data, why="The last page:", batch_id=report["batchId"], query=last)
    aggregated = "GET /batch/data/{batch_id}/aggregated"
    walker.call(aggregated, batch_id=category["batchId"])
    walker.call(aggregated, why="Of the fraud scoring:", batch_id=suspicious["batchId"])
    walker.call("GET /batch/list", query="status=COMPLETED&limit=1")
    return str(report["batchId"])


def tables(walker: Walk, name: str) -> None:
    """Look at tables and care for one."""
    walker.call("GET /tables")
    walker.call("POST /tables/{name}/optimize", name=name)
    walker.call("POST /tables/{name}/zorder", {"columns": ["customer_id"]}, name=name)
    walker.call("POST /tables/{name}/vacuum", name=name)
    walker.call("GET /tables/{name}/history", name=name, query="limit=1")
    walker.call("GET /tables/{name}/data", why="As it was at first:", name=name,
                query="limit=1&version=0")  # fmt: skip
    walker.call("GET /tables/{name}/data", why="An unknown table:", name="nowhere")


def security(walker: Walk) -> None:
    """Publish two security runs and compare them."""
    first = published(walker, walker.call("POST /security/run")["runId"])
    second = published(walker, walker.service.post("/security/run", {"full": True})["runId"])
    walker.call("GET /security/runs/{run_id}", run_id=second)
    walker.call("GET /security/runs", query="limit=1")
    for route in ("GET /security/runs/compare", "GET /runs/compare"):
        walker.call(route, query=f"a={first}&b={second}&limit=1")

    dropped = walker.service.post("/security/run", {"full": True})["runId"]
    walker.call("POST /security/runs/{run_id}/cancel", run_id=dropped)
    published(walker, dropped)
    again = walker.call("POST /security/runs/{run_id}/retry", run_id=dropped)
    walker.service.post(f"/security/runs/{again['runId']}/cancel")
    published(walker, again["runId"])
    walker.call("GET /schedule")


def backtest(walker: Walk) -> None:
    """Try a rule on the events of the published run."""
    rule = (Path(rule_files.__file__).parent / "rule_files/failed-login-burst.yml").read_text()
    started = walker.service.post("/security/backtests", {"rule": rule})
    walker.call("POST /security/backtests", {"rule": "title: x"}, "A text that is no rule:")
    address = "/security/backtests/{backtest_id}"
    path = address.format(backtest_id=started["backtestId"])
    wait_for("the backtest", lambda: walker.service.get(path)["status"] in ENDED, MOST_SECONDS)
    walker.call(f"GET {address}", backtest_id=started["backtestId"])
    walker.call(f"DELETE {address}", backtest_id=started["backtestId"])


def published(walker: Walk, run_id: str) -> str:
    """Wait for the end of a security run; return its id."""
    path = f"/security/runs/{run_id}"
    wait_for(
        f"the end of {run_id}", lambda: walker.service.get(path)["status"] in ENDED, MOST_SECONDS
    )
    return run_id


def page(sections: dict[str, list[str]]) -> str:
    """Return the page, routes in the order of the OpenAPI document."""
    described = routes()
    if missing := described.keys() ^ sections.keys():
        raise SystemExit(f"routes without a step, or steps without a route: {sorted(missing)}")
    text = [HEAD.format(transactions=TRANSACTIONS, events=EVENTS, items=MOST_ITEMS)]
    for route, description in described.items():
        text += [f"## {route}\n", f"{description}\n", "\n\n".join(sections[route]) + "\n"]
    return "\n".join(text)


def main(write: Callable[[str], object] = PAGE.write_text) -> None:
    """Walk and write the page."""
    with tempfile.TemporaryDirectory() as name, Broker(Path(name)) as broker:
        for topic in (STREAM, "security-events", "user-events", "analytics-insights"):
            broker.create_topic(topic, 2)
        generate(broker.bootstrap_servers)
        settings = {
            "BATCH_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "BATCH_STREAM_TRIGGER": "PT1S",
            "BATCH_SHUFFLE_PARTITIONS": "1",
        }
        with BatchProcess(Path(name), settings) as service:
            walker = Walk(service, Path(name))
            walk(walker)
            process = service.process
            if process is None or process.wait(180):
                raise SystemExit("the batch layer did not stop as it should")
    write(page(walker.sections))


if __name__ == "__main__":
    main()

"""Time of an answer without a model, over the real serving layer.

    python benchmarks/bench_assistant.py                  1,000,000 events, 450 questions
    QUICK=1 python benchmarks/bench_assistant.py          20,000 events, 90 questions
    EVENTS=200000 python benchmarks/bench_assistant.py    another number of events

Serving layer and assistant run as processes of their own; nine tenths of the events lie in a
published batch view, the rest comes from a stand-in for the speed layer. One client asks one
question after the other, of every kind. Needs nothing running and leaves nothing running.
Prints a table, and one line of JSON last; the whole form also writes its section of
``docs/benchmarks.md``.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
from docs_section import write_section

from local_stack.ports import free_port
from serving_layer.testing import (
    RunPartition,
    SpeedServer,
    alert_record,
    event_record,
    publish_run,
    user_record,
)

TOPIC = "security-events"
USERS = [f"user{number:02d}" for number in range(14)]
QUESTIONS = [
    "Is user user03 anomalous?",
    "What happened to user05 in the last 24 hours?",
    "Who is riskiest?",
    "Which alerts are open and what should I do first?",
    "Show failed logins of user user01",
    "What came from 10.0.0.7?",
    "What does T1110.003 mean here?",
    "How healthy is the pipeline?",
    "How many events do we have?",
    "What suspicious things happened in the last hour?",
    "Top source addresses",
    "Events by status",
    "Is the activity of user03 rising?",
    "Compare user03 with the usual",
    "Did the batch and live layers disagree?",
    "How many failed logins does user user01 have?",
    "Explain event evt_000000000032",
    "Explain alert security-events-0-1000",
]
SECOND_MS = 1000
WHOLE = 1_000_000
GOAL_P95_MS = 100


def main() -> None:
    """Start everything, ask, print the figures."""
    is_quick = bool(os.environ.get("QUICK"))
    events = int(os.environ.get("EVENTS", "20000" if is_quick else str(WHOLE)))
    rounds = 5 if is_quick else 25
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        speed = stack.enter_context(SpeedServer())
        fill(folder / "lake", speed, events)
        serving = stack.enter_context(
            process(
                "serving_layer",
                "/api/health/ready",
                SERVING_LAKE_DIR=str(folder / "lake"),
                SERVING_DATA_DIR=str(folder / "serving"),
                SERVING_SPEED_URLS=speed.url,
                SERVING_DASHBOARD_PORT="0",
            )
        )
        assistant = stack.enter_context(
            process(
                "genai_assistant",
                "/health",
                ASSISTANT_DATA_DIR=str(folder / "assistant"),
                ASSISTANT_SERVING_URL=serving,
                ASSISTANT_ANALYST_ENABLED="false",
            )
        )
        client = stack.enter_context(httpx.Client(base_url=assistant, trust_env=False, timeout=60))
        times = ask(client, rounds)
    lines = report(times, events)
    print("\n".join(lines))
    if events == WHOLE:
        write_section("bench-assistant", ["```", *lines, "```"])


def report(times: dict[str, list[float]], events: int) -> list[str]:
    """Return the table, slowest question first, and the line of JSON."""
    slowest = sorted(times.items(), key=lambda pair: -float(np.median(pair[1])))
    lines = [f"{'median ms':>10s}{'p95 ms':>10s}  question"]
    for question, taken in slowest:
        lines.append(f"{np.median(taken):10.1f}{np.percentile(taken, 95):10.1f}  {question}")
    p50, p95 = np.percentile([one for taken in times.values() for one in taken], [50, 95])
    lines.append(
        f"{events:,} events, real serving layer, no model: p50 {p50:.1f} ms, p95 {p95:.1f} ms "
        f"(goal {GOAL_P95_MS} ms over {WHOLE:,})"
    )
    figures = {"events": events, "p50_ms": round(p50, 1), "p95_ms": round(p95, 1)}
    return [*lines, json.dumps(figures)]


def ask(client: httpx.Client, rounds: int) -> dict[str, list[float]]:
    """Ask every question ``rounds`` times, after one round that is not counted."""
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for question in QUESTIONS:
            started = time.perf_counter()
            response = client.post("/query", json={"question": question})
            taken = (time.perf_counter() - started) * 1000
            body = response.raise_for_status().json()
            if body["mode"] != "evidence" or body["citation_check"]["dropped"]:
                raise SystemExit(f"{question}: {body['mode']} {body['citation_check']}")
            if number:
                times[question].append(taken)
    return times


def fill(lake: Path, speed: SpeedServer, events: int) -> None:
    """Publish nine tenths of the events as a run and give the rest to the speed server."""
    seam = events * 9 // 10
    first = time.time_ns() // 1_000_000 - events * SECOND_MS // 20
    made = [one_event(offset, first) for offset in range(events)]
    alerts = [
        alert_record(
            TOPIC,
            0,
            offset,
            user_id=made[offset]["user"],
            timestamp=made[offset]["timestamp"],
            first_seen=made[offset]["timestamp"],
            last_seen=made[offset]["timestamp"],
            event_ids=[made[offset]["event_id"]],
        )
        for offset in range(0, events, 1000)
    ]
    users = [user_record(name, is_anomaly=name == USERS[3]) for name in USERS]
    lake.mkdir()
    publish_run(
        lake,
        "run-bench",
        [
            RunPartition(
                TOPIC, 0, made[:seam], seam, alerts=[a for a in alerts if a["offset"] < seam]
            )
        ],
        users,
    )
    part = speed.partition(TOPIC, 0)
    part.append(made[seam:])
    part.segments_from = seam
    part.alerts.extend(alert for alert in alerts if alert["offset"] >= seam)


def one_event(offset: int, first: int) -> dict[str, object]:
    """Return an event; every 50th is anomalous, every 20th a failed login."""
    return event_record(
        offset,
        user=USERS[offset % len(USERS)],
        timestamp=first + offset * SECOND_MS // 20,
        source_ip=f"10.0.0.{offset % 40}",
        status="failed" if offset % 20 == 0 else "success",
        is_anomaly=offset % 50 == 0,
    )


@contextmanager
def process(module: str, ready: str, **settings: str) -> Iterator[str]:
    """Run a service on a free port until the block ends; yield its URL."""
    port, prefix = free_port(), module.removesuffix("_layer").removeprefix("genai_").upper()
    unset = {"OPENAI_API_KEY", "OPENAI_BASE_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= settings | {f"{prefix}_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    started = subprocess.Popen([sys.executable, "-m", module], env=environment)
    try:
        deadline = time.monotonic() + 120
        while not is_ready(url + ready):
            if started.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{module} did not start")
            time.sleep(0.2)  # a poll of another process
        yield url
    finally:
        started.terminate()
        started.wait(timeout=30)


def is_ready(url: str) -> bool:
    """Return whether a service answers with success."""
    try:
        return httpx.get(url, trust_env=False, timeout=10).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()

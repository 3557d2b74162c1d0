"""Backtests over a published run's event files; no Spark, no broker."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from batch_layer.app import create_app
from batch_layer.settings import Settings
from contracts.lake import SECURITY, manifest_path, run_directory, write_current
from contracts.views import BATCH_EVENT_SCHEMA, Manifest, ViewFile

START_MS = 1_760_000_000_000
RULE = """
title: Failed login
name: failed-twice
logsource: {product: streamguard, category: authentication}
detection:
  failed: {event_type: auth_attempt, status: failed}
  condition: failed
---
title: Two failed logins of a user
name: failed-twice-counted
status: test
level: high
correlation:
  type: event_count
  rules: [failed-twice]
  group-by: [user]
  timespan: 1m
  condition: {gte: 2}
streamguard:
  version: 1
  alert_type: FAILED_TWICE
  words: "{count} failed logins of {user}"
examples:
  positive:
    - name: two
      alerts: 1
      events:
        - {repeat: 2, event: {status: failed}}
  negative:
    - name: one
      events:
        - {event: {status: failed}}
"""


def row(offset, user, status):
    event = {
        "event_id": f"evt_{offset:012x}", "timestamp": START_MS + offset * 1_000, "user": user,
        "event_type": "auth_attempt", "source_ip": "10.0.0.1", "status": status,
    }  # fmt: skip
    known = dict.fromkeys(BATCH_EVENT_SCHEMA.names) | event
    return known | {
        "topic": "security-events", "partition": 0, "offset": offset, "ingested_at": 0,
        "is_anomaly": False, "raw": json.dumps(event).encode(),
    }  # fmt: skip


def publish(lake, rows):
    """Write a run whose events lie in two files, the later one listed first."""
    folder = run_directory("r1").relative_to(SECURITY)
    (lake / SECURITY / folder).mkdir(parents=True)
    files = []
    for name, part in (("b", rows[3:]), ("a", rows[:3])):
        path = folder / f"{name}.parquet"
        table = pa.Table.from_pylist(part, schema=BATCH_EVENT_SCHEMA)
        pq.write_table(table, lake / SECURITY / path)
        files.append(ViewFile(path=str(path), rows=len(part), bytes=1))
    manifest = Manifest(
        run_id="r1", created_at=0, full=True, detection_version="t", scorer="s", algorithm="a",
        seam=[], event_files=files, alert_files=[], aggregate_files=[], user_files=[],
        state_files=[], report="",
    )  # fmt: skip
    (lake / manifest_path("r1")).write_text(manifest.model_dump_json())
    write_current(lake, "r1")


@pytest.fixture
def client(tmp_path):
    # Not entered: the lifespan would start Spark.
    settings = Settings(_env_file=None, lake_dir=tmp_path / "lake", data_dir=tmp_path / "data")
    return TestClient(create_app(settings))


def finished(client, backtest_id):
    deadline = time.monotonic() + 60
    while True:
        body = client.get(f"/security/backtests/{backtest_id}").json()
        if body["status"] != "RUNNING":
            return body
        assert time.monotonic() < deadline, f"the backtest never ended: {body}"
        time.sleep(0.02)


def test_a_rule_is_run_over_history_in_offset_order(client, tmp_path):
    statuses = ["failed", "success", "success", "failed", "success", "success"]
    rows = [row(offset, "alice", status) for offset, status in enumerate(statuses)]
    publish(tmp_path / "lake", rows)

    accepted = client.post("/security/backtests", json={"rule": RULE})
    body = finished(client, accepted.json()["backtestId"])

    assert accepted.status_code == 202
    assert (body["status"], body["errorMessage"]) == ("COMPLETED", None)
    assert (body["eventsDone"], body["eventsTotal"], body["runId"]) == (6, 6, "r1")
    [alert] = body["alerts"]
    assert (alert["user_id"], alert["event_count"]) == ("alice", 2)
    assert alert["timestamp"] == START_MS + 3_000
    later = {"rule": RULE, "startTime": START_MS + 3_001}
    other = finished(client, client.post("/security/backtests", json=later).json()["backtestId"])
    assert other["alertsTotal"] == 0


def test_what_cannot_be_run_is_refused_and_says_why(client, tmp_path):
    no_run = client.post("/security/backtests", json={"rule": RULE})
    publish(tmp_path / "lake", [row(0, "alice", "failed")])
    broken = client.post("/security/backtests", json={"rule": "title: nothing"})
    order = client.post("/security/backtests", json={"rule": RULE, "startTime": 5, "endTime": 5})

    assert (no_run.status_code, no_run.json()["error"]) == (503, "SERVICE_UNAVAILABLE")
    assert (broken.status_code, order.status_code) == (400, 400)
    assert broken.json()["message"].startswith("rule: rule.yml")
    assert client.get("/security/backtests/none").status_code == 404


def test_a_damaged_file_fails_the_backtest_with_its_reason(client, tmp_path):
    publish(tmp_path / "lake", [row(n, "alice", "failed") for n in range(4)])
    next((tmp_path / "lake" / SECURITY).rglob("a.parquet")).write_bytes(b"damaged")

    accepted = client.post("/security/backtests", json={"rule": RULE}).json()

    body = finished(client, accepted["backtestId"])
    assert body["status"] == "FAILED"
    assert "Parquet" in body["errorMessage"]

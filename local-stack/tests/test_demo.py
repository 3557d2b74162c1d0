"""The demo's own parts; the whole of it is what ``make demo`` checks."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console

from contracts.api import AnomalyRecord, Consistency, PartitionConsistency, Summary
from local_stack.demo.api import Api
from local_stack.demo.findings import Findings, Quality
from local_stack.demo.report import print_findings
from local_stack.demo.scenario import EVENTS, generate, next_offsets, publish
from local_stack.demo.steps import Steps, wait_until
from local_stack.errors import DemoError
from local_stack.settings import Settings
from local_stack.testing import Broker


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def anomaly(event_id: str, timestamp: int, reasons: tuple[str, ...] = ("new country",)) -> dict:
    parts = ("time", "ip", "location", "type", "failure")
    return {
        "event_id": event_id,
        "user": "manager",
        "timestamp": timestamp,
        "event_type": "auth_attempt",
        "anomaly_score": 0.9,
        "reasons": list(reasons),
        "source": "batch",
        **{f"{part}_anomaly": 0.5 for part in parts},
    }


def summary(total: int, realtime: int) -> Summary:
    return Summary(
        totalEvents=total,
        highThreatEvents=3,
        averageThreatScore=0.2,
        totalAnalyses=0,
        totalAnomalies=2,
        batchEvents=total - realtime,
        realtimeEvents=realtime,
    )


PARTITION = PartitionConsistency(
    topic="security-events",
    partition=0,
    first_offset=0,
    seam=40_000,
    next_offset=50_000,
    batch_rows=40_000,
    realtime_rows=10_000,
    dead_letters=0,
    duplicates=0,
    skipped=0,
    missing=0,
    double=0,
)
RIGHT = Findings(
    before=summary(0, 0),
    after=summary(50_000, 10_000),
    consistency=Consistency(missing=0, double=0, run_id="run-1", partitions=[PARTITION]),
    run_id="run-1",
    anomalies=[AnomalyRecord.model_validate(anomaly("evt_1", 1_700_000_000_000))],
    quality=Quality(0.99, 0.95),
    alerts=[
        {
            "timestamp": 1_700_000_000_000,
            "severity": "HIGH",
            "alert_type": "SUSPICIOUS_LOGIN_PATTERN",
            "user_id": "manager",
            "description": "3 failed logins in 5 minutes",
            "event_ids": ["evt_1"],
        }
    ],
    report={"total_users": 14, "anomalous_users": 1},
    analysis={"status": "COMPLETED", "rowCount": 5000},
    analysis_rows=[
        {"category": "books", "transaction_count": 4600, "total_revenue": 1234.5},
    ],
    answer={
        "answer": "Yes [E1].",
        "batch_anomaly": {"user": "manager"},
        "evidence": [
            {"id": "E1", "kind": "user_features", "source": "batch", "record": {"user": "manager"}}
        ],
        "citation_check": {"cited": 1, "valid": 1, "dropped": 0},
    },
    seconds=100.04,
)


def test_findings_that_are_right_have_no_faults_and_give_the_line_of_figures() -> None:
    assert RIGHT.faults() == []
    assert json.loads(RIGHT.json_line()) == {
        "missing": 0,
        "double": 0,
        "events_total": 50_000,
        "from_batch": 40_000,
        "from_speed": 10_000,
        "anomalous_users": 1,
        "alerts": 1,
        "precision": 0.99,
        "recall": 0.95,
        "citations_valid": True,
        "seconds": 100.0,
    }


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"after": summary(49_999, 10_000)}, "49,999 new events in the merged summary"),
        ({"before": summary(1, 0)}, "49,999 new events in the merged summary"),
        ({"after": summary(50_000, 0)}, "the speed layer gave nothing"),
        ({"consistency": RIGHT.consistency.model_copy(update={"missing": 1})}, "missing"),
        ({"consistency": RIGHT.consistency.model_copy(update={"double": 1})}, "counted twice"),
        ({"quality": Quality(0.5, 0.95)}, "precision 0.500 is under 0.9"),
        ({"quality": Quality(0.99, 0.5)}, "recall 0.500 is under 0.9"),
        ({"alerts": []}, "no alerts"),
        ({"analysis": {"rowCount": 4999}}, "the analysis read 4999 rows"),
        ({"answer": {**RIGHT.answer, "citation_check": {"cited": 2, "valid": 1}}}, "citations"),
        ({"answer": {**RIGHT.answer, "batch_anomaly": None}}, "batch layer's verdict"),
    ],
)
def test_a_finding_that_is_wrong_is_named(wrong: dict[str, Any], fault: str) -> None:
    faults = replace(RIGHT, **wrong).faults()
    assert any(fault in found for found in faults), faults


def test_every_finding_is_printed(console: Console) -> None:
    print_findings(RIGHT, settings(), console)
    text = console.export_text()
    for part in ("80.0%", "new country", "3 failed logins", "precision 0.990", "missing 0, double 0",
                 "books", "Yes [E1].", "E1 user_features (batch)", "1 cited sentences checked, 1 valid", "http://127.0.0.1:8081/"):  # fmt: skip
        assert part in text


def test_waiting_says_what_never_came() -> None:
    with pytest.raises(DemoError, match=r"after 0 s still not: the moon is full"):
        wait_until(lambda: False, "the moon is full", 0)


def test_a_step_says_what_it_waits_for_once(console: Console) -> None:
    with Steps(console).step("batch run") as say:
        say("RUNNING")
        say("RUNNING")
    assert console.export_text().count("batch run: RUNNING") == 1


@pytest.fixture
def serving() -> Iterator[int]:
    """Serve anomalies in pages of one, as the serving layer does by cursor."""
    rows = [anomaly(f"evt_{number}", 1_700_000_000_000 - number) for number in range(5)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
            following = str(at + 1) if at + 1 < len(rows) else None
            body = json.dumps({"data": [rows[at]], "next_cursor": following}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_anomalies_are_paged_until_they_are_older_than_the_demo(serving: int) -> None:
    with Api(settings(serving_port=serving)) as api:
        found = [record.event_id for record in api.anomalies_since(1_700_000_000_000 - 2)]
    assert found == ["evt_0", "evt_1", "evt_2"]


def test_a_service_that_does_not_answer_is_named() -> None:
    with (
        Api(settings(batch_port=1)) as api,
        pytest.raises(DemoError, match=r"POST http://127\.0\.0\.1:1/security/run: "),
    ):
        api.start_security_run()


@pytest.mark.integration
def test_events_are_generated_with_labels_aside_and_published_by_user(tmp_path: Path) -> None:
    scenario = generate(tmp_path)
    assert len(scenario.values) == len(scenario.event_ids) == EVENTS
    assert len(scenario.anomalous_ids) == EVENTS // 50
    assert not any(b"is_anomaly" in value for value in scenario.values[:1000])
    with Broker(tmp_path) as broker:
        broker.create_topic("security-events", partitions=4)
        publish(scenario, broker.bootstrap_servers, 0, 2000)
        publish(scenario, broker.bootstrap_servers, 2000, 2500)
        ends = next_offsets(broker.bootstrap_servers, "security-events")
        assert sum(ends.values()) == 2500
        partitions_of = users_by_partition(broker.bootstrap_servers, ends)
    assert {len(partitions) for partitions in partitions_of.values()} == {1}


def users_by_partition(servers: str, ends: dict[str, int]) -> dict[bytes, set[int]]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition("security-events", int(number), 0) for number in ends])
    found: dict[bytes, set[int]] = defaultdict(set)
    left = sum(ends.values())
    while left:
        batch = consumer.consume(left, timeout=30)
        assert batch, f"{left} records never came"
        for message in batch:
            found[message.key()].add(message.partition())
        left -= len(batch)
    consumer.close()
    return found

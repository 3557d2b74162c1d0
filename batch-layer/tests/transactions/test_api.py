import base64
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition
from deltalake import DeltaTable, write_deltalake
from fastapi.testclient import TestClient

from batch_layer.app import create_app
from batch_layer.settings import Settings
from batch_layer.transactions.analyses.catalogue import ANALYSES
from batch_layer.transactions.records import BatchRecord, Status
from batch_layer.transactions.registry import Registry

pytestmark = pytest.mark.integration

_TOPICS = itertools.count()
DEADLINE_SECONDS = 600


def until(ready: Callable[[], object], what: str):
    """Return the first true answer; fail with ``what`` after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (answer := ready()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)  # polled with a deadline
    return answer


@pytest.fixture(scope="module")
def service_settings(tmp_path_factory, broker) -> Settings:
    root: Path = tmp_path_factory.mktemp("service")
    return Settings(
        lake_dir=root / "lake",
        data_dir=root / "batch",
        kafka_bootstrap_servers=broker.bootstrap_servers,
        schedule_minutes=0,
        maintenance_minutes=0,
        stream_trigger=timedelta(seconds=1),
    )


@pytest.fixture(scope="module")
def client(service_settings, spark):
    from contextlib import nullcontext

    app = create_app(service_settings, lambda _: nullcontext(spark))
    with TestClient(app, raise_server_exceptions=False) as client:
        until(lambda: client.get("/health").status_code == 200, "the service is not healthy")
        yield client


@pytest.fixture
def topic(broker) -> str:
    name = f"transactions-{next(_TOPICS)}"
    broker.create_topic(name, partitions=2)
    return name


def submit(client, **body) -> str:
    answer = client.post("/batch/run", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "PENDING"
    return answer.json()["batchId"]


def finished(client, batch_id: str) -> dict:
    def ended():
        record = client.get(f"/batch/status/{batch_id}").json()
        return record if record["status"] not in ("PENDING", "RUNNING") else None

    return until(ended, f"{batch_id} does not end")


def error_of(answer) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"error", "message", "timestamp"}
    return answer.status_code, body["error"]


@pytest.fixture(scope="module")
def report(client, broker, wire):
    """A full report over two partitions with a bad record, and the transactions it was made of."""
    from confluent_kafka import Producer

    broker.create_topic("full-report", partitions=2)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    import json

    sent = []
    for number in range(60):
        category = ("books", "toys", "grocery")[number % 3]
        transaction = wire(category=category, quantity=number + 1, total_amount=number + 1.0,
                           is_fraudulent=number == 0)  # fmt: skip
        sent.append(transaction)
        producer.produce("full-report", json.dumps(transaction).encode(), partition=number % 2)
    producer.produce("full-report", b"not a transaction", partition=1)
    assert producer.flush(60) == 0
    batch_id = submit(client, topic="full-report", analysisType="full_report",
                      startOffset="earliest", endOffset="latest")  # fmt: skip
    return finished(client, batch_id), sent


def test_a_batch_over_a_topic_tells_what_it_read_and_wrote(report):
    record, sent = report

    assert record["status"] == "COMPLETED", record["errorMessage"]
    assert (record["rowCount"], record["malformedCount"]) == (len(sent), 1)
    assert record["startOffset"] == {"0": 0, "1": 0}
    assert record["endOffset"] == {"0": 30, "1": 31}
    assert record["deltaRawPath"].endswith(f"batches/{record['batchId']}/raw")
    assert record["submitTime"] <= record["startTime"] <= record["endTime"]
    assert record["errorMessage"] is None
    assert {path.name for path in Path(record["deltaRawPath"]).glob("category=*")} == {
        "category=books", "category=toys", "category=grocery"
    }  # fmt: skip


def test_malformed_records_are_kept_with_the_reason(report, spark):
    record, _ = report

    (row,) = spark.read.format("delta").load(record["malformedPath"]).collect()

    assert (row.source_partition, row.source_offset) == (1, 30)
    assert (bytes(row.value), row.reason) == (b"not a transaction", "undecodable")


def test_pages_cover_every_row_once_in_a_fixed_order(client, report):
    record, sent = report
    url = f"/batch/data/{record['batchId']}"

    pages = [client.get(url, params={"limit": 25, "offset": offset}) for offset in (0, 25, 50, 75)]

    assert [page.json()["page"]["returned"] for page in pages] == [25, 25, 10, 0]
    assert [page.json()["page"]["hasMore"] for page in pages] == [True, True, False, False]
    assert pages[1].json()["page"] == {"limit": 25, "offset": 25, "returned": 25, "hasMore": True}
    assert pages[1].headers["X-Total-Count"] == "60"
    assert pages[1].headers["X-Page-Size"] == "25"
    assert pages[1].headers["X-Page-Offset"] == "25"
    rows = [row for page in pages for row in page.json()["data"]]
    assert {row["transaction_id"] for row in rows} == {item["transaction_id"] for item in sent}
    assert rows == client.get(url, params={"limit": 10_000}).json()["data"]
    assert rows[0]["event_timestamp"] == "2026-03-02T10:15:00Z"
    assert rows[0]["event_date"] == "2026-03-02"


def test_a_full_report_has_a_list_per_analysis(client, report):
    record, sent = report

    body = client.get(f"/batch/data/{record['batchId']}/aggregated").json()

    assert body["analysisType"] == "full_report"
    assert len(body["data"]) == 8
    revenue = body["data"]["revenue_by_category"]
    assert [row["category"] for row in revenue] == ["grocery", "toys", "books"]
    assert sum(row["total_revenue"] for row in revenue) == sum(t["total_amount"] for t in sent)
    assert body["data"]["customer_segmentation"][0]["last_purchase_date"] == "2026-03-02"


def test_a_table_is_readable_as_it_was(client, report):
    record, _ = report
    url = f"/batch/data/{record['batchId']}"

    assert client.get(url, params={"version": 0}).json()["rowCount"] == 60
    now = datetime.now(UTC).isoformat()
    assert client.get(url, params={"timestamp": now}).json()["rowCount"] == 60
    aggregated = client.get(f"{url}/aggregated", params={"timestamp": now}).json()
    assert len(aggregated["data"]["revenue_by_category"]) == 3
    assert aggregated == client.get(f"{url}/aggregated", params={"version": 0}).json()
    for of in (url, f"{url}/aggregated"):
        assert error_of(client.get(of, params={"version": 99})) == (400, "INVALID_REQUEST")
        early = client.get(of, params={"timestamp": "2020-01-01T00:00:00Z"})
        assert error_of(early) == (400, "INVALID_REQUEST")
        assert early.json()["message"].startswith("timestamp: ")


def test_any_table_is_read_by_version_and_by_time(client, service_settings):
    path = str(service_settings.lake_dir / "batches/own/raw")
    for value in (b"\xff first", b"second"):
        write_deltalake(path, pa.table({"value": [value]}), mode="append")
    then = DeltaTable(path).history()[-1]["timestamp"] / 1000
    url = "/tables/batches/own/raw/data"

    body = client.get(url).json()
    assert (body["version"], body["rowCount"]) == (1, 2)
    values = {base64.urlsafe_b64decode(row["value"]) for row in body["data"]}
    assert values == {b"\xff first", b"second"}
    assert client.get(url, params={"version": 0}).json()["rowCount"] == 1
    at = datetime.fromtimestamp(then, UTC).isoformat()
    assert client.get(url, params={"timestamp": at}).json()["version"] == 0
    assert client.get(url, params={"limit": 1, "offset": 1}).json()["page"]["hasMore"] is False
    assert error_of(client.get("/tables/nowhere/data")) == (404, "TABLE_NOT_FOUND")
    both = client.get(url, params={"version": 0, "timestamp": at})
    assert error_of(both) == (400, "INVALID_REQUEST")


def test_every_table_of_a_batch_is_read_alike_elsewhere(report, read_elsewhere):
    record, sent = report

    raw = read_elsewhere(Path(record["deltaRawPath"]), "transaction_id")
    assert raw == sorted(item["transaction_id"] for item in sent)
    assert read_elsewhere(Path(record["malformedPath"]), "source_offset") == [30]
    analyses = {path.name: path for path in Path(record["deltaAggPath"]).iterdir()}
    assert len(analyses) == 8
    for name, path in analyses.items():
        ((column, _), *_) = ANALYSES[name].order
        assert read_elsewhere(path, column), name


def test_tables_are_compacted_clustered_vacuumed_and_remember(client, report):
    record, _ = report
    table = f"/tables/batches/{record['batchId']}/raw"

    assert client.post(f"{table}/optimize").status_code == 200
    assert client.post(f"{table}/zorder", json={"columns": ["customer_id"]}).status_code == 200
    assert client.post(f"{table}/vacuum").status_code == 200
    history = client.get(f"{table}/history").json()["history"]

    assert history[-1]["operation"] == "WRITE"
    assert "OPTIMIZE" in {version["operation"] for version in history}
    assert history[0]["timestamp"].endswith("Z")
    assert client.get(f"/batch/data/{record['batchId']}").json()["rowCount"] == 60
    bad = client.post(f"{table}/zorder", json={"columns": ["colour"]})
    assert "columns" in bad.json()["message"]
    assert error_of(client.post("/tables/batches/nowhere/optimize"))[1] == "TABLE_NOT_FOUND"
    assert client.post(f"{table}/vacuum", json={"retentionHours": 1}).status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"topic": "full-report", "analysisType": "profit"}, "analysisType", id="type"),
        pytest.param({"topic": "no-such-topic", "analysisType": "fraud_analysis"}, "topic", id="topic"),
        pytest.param({"topic": "full-report", "analysisType": "fraud_analysis",
                      "endOffset": {"0": 999_999}}, "endOffset.0", id="beyond-the-end"),
        pytest.param({"topic": "full-report", "analysisType": "fraud_analysis",
                      "startOffset": {"9": 0}}, "startOffset.9", id="partition"),
        pytest.param({"startDate": "2026-03-02", "endDate": "2026-03-01",
                      "analysisType": "fraud_analysis"}, "endDate", id="date-order"),
        pytest.param({"startDate": "2026-03-01", "endDate": "2026-03-02", "filters": {"colour": 1},
                      "analysisType": "fraud_analysis"}, "filters.colour", id="column"),
    ],
)  # fmt: skip
def test_a_bad_request_names_the_field(client, report, body, field):
    answer = client.post("/batch/run", json=body)

    assert error_of(answer) == (400, "INVALID_REQUEST")
    assert answer.json()["message"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/batch/status/batch-20260101-00000000", (404, "BATCH_NOT_FOUND")),
        ("GET", "/batch/data/batch-20260101-00000000", (404, "BATCH_NOT_FOUND")),
        ("GET", "/batch/data/batch-20260101-00000000/aggregated", (404, "BATCH_NOT_FOUND")),
        ("DELETE", "/batch/batch-20260101-00000000", (404, "BATCH_NOT_FOUND")),
        ("GET", "/batch/data/x?limit=10001", (400, "INVALID_REQUEST")),
        ("GET", "/batch/data/x?offset=-1", (400, "INVALID_REQUEST")),
        ("GET", "/batch/list?status=DONE", (400, "INVALID_REQUEST")),
        ("GET", "/batch/list?limit=0", (400, "INVALID_REQUEST")),
    ],
)
def test_errors(client, method, path, expected):
    assert error_of(client.request(method, path)) == expected


def test_an_empty_range_completes_with_no_rows(client, topic):
    record = finished(client, submit(client, topic=topic, analysisType="revenue_by_category"))

    assert record["status"] == "COMPLETED", record["errorMessage"]
    assert record["rowCount"] == 0
    aggregated = client.get(f"/batch/data/{record['batchId']}/aggregated").json()
    assert aggregated["data"] == []
    assert client.get(f"/batch/data/{record['batchId']}").json()["data"] == []


def test_batches_run_beside_the_stream_and_the_lake_form_reads_what_it_wrote(
    client, broker, topic, produce, wire, service_settings, spark, read_elsewhere
):
    times = ["2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", "2026-03-03T10:00:00Z"]
    # A city of its own: the lake holds what other tests streamed too.
    own = {"city": "of batch and stream"}
    books = [
        wire(**own, event_timestamp=time, category="books", customer_id=f"c{number % 2}",
             quantity=number + 1, total_amount=20.5 * number + 1, is_fraudulent=number == 1)
        for number, time in enumerate(times)
    ]  # fmt: skip
    toys = wire(**own, event_timestamp=times[0], category="toys")
    produce(topic, books, 0)
    bad_values = [b"{broken", b"x" * 5_000_000]
    produce(topic, [*bad_values, toys], 1)

    started = client.post("/stream/start", json={"topic": topic}).json()
    assert started["status"] == "started"
    assert len(started["queryIds"]) == 2
    assert error_of(client.post("/stream/start", json={"topic": topic})) == (
        409, "STREAM_ALREADY_RUNNING"
    )  # fmt: skip
    analyses = ("full_report", "fraud_analysis", "fraud_analysis")
    ids = [submit(client, topic=topic, analysisType=analysis) for analysis in analyses]
    bad = {"topic": topic, "analysisType": "fraud_analysis", "endOffset": {"1": 99}}
    assert error_of(client.post("/batch/run", json=bad)) == (400, "INVALID_REQUEST")
    assert {finished(client, batch_id)["status"] for batch_id in ids} == {"COMPLETED"}
    status = client.get("/stream/status").json()
    assert (status["active"], [query["isActive"] for query in status["queries"]]) == (
        True,
        [True] * 2,
    )
    stored = service_settings.lake_dir / "stream/transactions"

    def rows_of(path):
        if not (path / "_delta_log").exists():
            return 0
        return spark.read.format("delta").load(str(path)).count()

    until(lambda: rows_of(stored) == 4, "the stream does not store the transactions")
    bad = service_settings.lake_dir / "stream/malformed"
    until(lambda: rows_of(bad) == 2, "the stream does not set the bad records aside")
    letters = _dead_letters(broker, f"{topic}.dead-letter", 2)
    assert [value for value, _ in letters] == bad_values
    assert letters[0][1] == {
        "reason": b"undecodable", "source-topic": topic.encode(), "source-partition": b"1",
        "source-offset": b"0", "error": b"not a JSON object",
    }  # fmt: skip
    assert letters[1][1]["reason"] == b"too_large"
    assert letters[1][1]["error"] == b"larger than 1048576 bytes"

    status = client.get("/stream/status").json()
    assert {query["name"] for query in status["queries"]} == {"transactions", "stream_aggregations"}
    assert all(query["isActive"] for query in status["queries"])
    assert client.post("/stream/stop").json() == {"status": "stopped", "queriesStopped": 2}
    assert client.get("/stream/status").json()["active"] is False
    sent = sorted(item["transaction_id"] for item in (*books, toys))
    assert read_elsewhere(stored, "transaction_id") == sent
    assert read_elsewhere(bad, "source_offset") == [0, 1]

    # What the stream stored gives the analyses that the topic itself gave.
    from_lake = finished(client, submit(
        client, startDate="2026-03-01", endDate="2026-03-03", filters=own,
        analysisType="full_report",
    ))  # fmt: skip
    of_topic, of_stream = (
        client.get(f"/batch/data/{batch_id}/aggregated").json()["data"]
        for batch_id in (ids[0], from_lake["batchId"])
    )
    assert of_stream == of_topic
    assert [row["transaction_count"] for row in of_stream["revenue_by_category"]] == [1, 3]

    record = finished(client, submit(
        client, startDate="2026-03-01", endDate="2026-03-02", filters={"category": "books"},
        analysisType="revenue_by_category",
    ))  # fmt: skip
    assert (record["status"], record["rowCount"]) == ("COMPLETED", 2)
    assert record["sourcePath"] == "stream/transactions"
    assert {path.name for path in stored.glob("event_date=*")} == {
        f"event_date=2026-03-0{day}" for day in (1, 2, 3)
    }
    assert "stream/transactions" in client.get("/tables").json()["tables"]


def test_a_stream_goes_on_over_outage_and_restart_and_final_windows_come_once(
    client, broker, topic, produce, wire, service_settings, spark, read_elsewhere
):
    # A category of its own: the table holds the windows of other tests too.
    minutes = [
        wire(category="beauty", event_timestamp=f"2026-03-02T10:{minute:02}:30Z")
        for minute in range(3)
    ]
    produce(topic, minutes)
    client.post("/stream/start", json={"topic": topic})
    until(lambda: _rows_read(client) >= 3, "the stream reads nothing")
    broker.kill()
    broker.start()
    produce(topic, [wire(category="toys", event_timestamp="2026-03-02T10:00:30Z")])
    until(lambda: _rows_read(client) >= 4, "the stream does not go on after the outage")
    assert client.post("/stream/stop").json()["queriesStopped"] == 2
    # An hour later every window of the first three is final.
    produce(topic, [wire(event_timestamp="2026-03-02T11:10:00Z")])
    client.post("/stream/start", json={"topic": topic})

    path = service_settings.lake_dir / "stream/stream_aggregations"

    def windows():
        if not (path / "_delta_log").exists():
            return []
        found = spark.read.format("delta").load(str(path)).where("category = 'beauty'")
        return found.orderBy("window_start").collect()

    until(lambda: len(windows()) >= 7, "no window becomes final")
    client.post("/stream/stop")

    assert [row.txn_count for row in windows()] == [1, 2, 3, 3, 3, 2, 1]
    assert read_elsewhere(path, "category").count("beauty") == 7
    assert set(windows()[0].asDict()) == {
        "window_start", "window_end", "category", "txn_count", "window_revenue",
        "avg_order_value", "fraud_alerts", "approx_unique_customers",
    }  # fmt: skip


def test_a_stream_goes_on_after_a_restart_unless_it_was_stopped(settings, lend, broker, topic):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": broker.bootstrap_servers})

    def restarted(action):
        with TestClient(create_app(settings, lend)) as client:
            until(lambda: client.get("/health").status_code == 200, "the service is not healthy")
            return action(client)

    started = restarted(lambda client: client.post("/stream/start", json={"topic": topic}).json())
    status, stopped = restarted(
        lambda client: (client.get("/stream/status").json(), client.post("/stream/stop").json())
    )
    assert (status["active"], status["topic"]) == (True, topic)
    assert [query["id"] for query in status["queries"]] == started["queryIds"]
    assert stopped["queriesStopped"] == 2
    assert restarted(lambda client: client.get("/stream/status").json())["active"] is False


def test_every_call_that_reads_rows_takes_a_version_and_a_time(client):
    paths = client.get("/openapi.json").json()["paths"]

    reads = {path for path in paths if "/data" in path}
    timed = {
        path
        for path, methods in paths.items()
        if {"version", "timestamp"}
        <= {parameter["name"] for parameter in methods.get("get", {}).get("parameters", ())}
    }
    assert len(reads) == 3
    assert timed == reads


def test_every_call_declares_the_errors_it_answers(client):
    document = client.get("/openapi.json").json()

    answers = {
        f"{method.upper()} {path}": operation["responses"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert not [call for call, found in answers.items() if "422" in found]
    assert answers["GET /batch/data/{batch_id}"].keys() == {
        "200",
        "400",
        "404",
        "409",
        "500",
        "503",
    }
    assert answers["POST /security/run"]["409"]["description"] == "`RUN_ALREADY_RUNNING`"
    schema = answers["POST /stream/start"]["409"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith("/ErrorBody")
    assert document["components"]["schemas"]["ErrorBody"]["required"] == [
        "error", "message", "timestamp"
    ]  # fmt: skip


def _rows_read(client) -> int:
    queries = client.get("/stream/status").json()["queries"]
    reads = [sum(item["numInputRows"] for item in query["recentProgress"]) for query in queries]
    return min(reads, default=0)


def test_a_stream_over_no_topic_is_refused(client):
    answer = client.post("/stream/start", json={"topic": "no-such-topic"})

    assert error_of(answer) == (400, "INVALID_REQUEST")
    assert "topic" in answer.json()["message"]
    assert client.get("/stream/status").json()["active"] is False


def test_a_cancelled_batch_says_so_and_has_no_data(client, topic, produce, wire):
    produce(topic, [wire()])
    batch_id = submit(client, topic=topic, analysisType="full_report")

    cancelled = client.delete(f"/batch/{batch_id}").json()

    assert cancelled["status"] == "CANCELLED"
    assert finished(client, batch_id)["status"] == "CANCELLED"
    assert error_of(client.get(f"/batch/data/{batch_id}")) == (409, "BATCH_NOT_READY")


def test_a_restart_keeps_every_batch_and_fails_those_under_way(settings, lend):
    registry = Registry(settings.data_dir)
    now = "2026-03-02T10:00:00Z"
    for name, status in (("batch-1", Status.RUNNING), ("batch-2", Status.COMPLETED)):
        registry.add(BatchRecord(batchId=name, status=status, analysisType="x", submitTime=now))
    registry.close()

    with TestClient(create_app(settings, lend)) as client:
        until(lambda: client.get("/health").status_code == 200, "the service is not healthy")
        listed = client.get("/batch/list").json()
        failed = client.get("/batch/list", params={"status": "FAILED"}).json()
        data = client.get("/batch/data/batch-1")

    assert [batch["batchId"] for batch in listed["batches"]] == ["batch-2", "batch-1"]
    assert listed["total"] == 2
    assert failed["batches"][0]["errorMessage"].startswith("the batch layer stopped")
    assert error_of(data) == (409, "BATCH_NOT_READY")


def test_an_empty_lake_fails_the_batch_with_the_reason(settings, lend):
    with TestClient(create_app(settings, lend)) as client:
        until(lambda: client.get("/health").status_code == 200, "the service is not healthy")
        record = finished(client, submit(
            client, startDate="2026-03-01", endDate="2026-03-02", analysisType="hourly_trends"
        ))  # fmt: skip

    assert record["status"] == "FAILED"
    assert "seed/transactions" in record["errorMessage"]


def test_a_broker_that_is_away_is_a_503(settings, lend):
    away = settings.model_copy(
        update={"kafka_bootstrap_servers": "127.0.0.1:1", "kafka_timeout": timedelta(seconds=0.5)}
    )
    with TestClient(create_app(away, lend)) as client:
        until(lambda: client.get("/health").status_code == 200, "the service is not healthy")
        answer = client.post("/batch/run", json={"topic": "t", "analysisType": "fraud_analysis"})
        stream = client.post("/stream/start", json={"topic": "t"})

    assert error_of(answer) == (503, "SERVICE_UNAVAILABLE")
    assert error_of(stream) == (503, "SERVICE_UNAVAILABLE")


def _dead_letters(broker, topic: str, count: int) -> list[tuple[bytes, dict[str, bytes]]]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = [consumer.poll(60) for _ in range(count)]
    consumer.close()
    assert None not in messages
    found = [(message.value(), dict(message.headers())) for message in messages]
    return sorted(found, key=lambda letter: letter[1]["source-offset"])

"""A batch layer on a Spark cluster of processes: results, and how it stops."""

import json
import os
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable
from fastapi.testclient import TestClient

from batch_layer.app import create_app
from batch_layer.testing import BatchProcess, StandaloneCluster, wait_for
from batch_layer.transactions.sources import is_table
from contracts.lake import read_current, run_directory

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        os.environ.get("CLUSTER") != "1", reason="starts six processes: make test-cluster runs it"
    ),
]

USERS = tuple(f"user{number}" for number in range(12))
OF_THE_RUN = {"ingested_at", "run_id", "created_at"}
TRANSACTIONS = "transactions-of-the-cluster"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with StandaloneCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def service(cluster, broker, tmp_path_factory):
    environment = {
        "SPARK_MASTER": cluster.master,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "BATCH_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "BATCH_SHUFFLE_PARTITIONS": "2",
        "BATCH_KAFKA_TIMEOUT": "PT5M",  # of a busy machine
        "BATCH_STREAM_TRIGGER": "PT1S",
    }
    with BatchProcess(tmp_path_factory.mktemp("service"), environment) as service:
        yield service


def sale(day: int, number: int) -> dict[str, object]:
    """Two customers who buy groceries at home for four weeks, then something else elsewhere."""
    is_theft = day > 28
    return {
        "transaction_id": f"00000000-0000-4000-8000-{day * 100 + number:012d}",
        "customer_id": f"c{number % 2}",
        "event_timestamp": f"2026-03-{day:02}T10:{number:02}:00Z",
        "total_amount": 9_000.0 if is_theft else 20.0,
        "city": "Rome" if is_theft else "Oslo",
        "category": "electronics" if is_theft else "grocery",
    }


@pytest.fixture(scope="module")
def filled(broker, wire):
    """Security events and transactions on the broker."""
    for name, partitions in (("security-events", 2), ("user-events", 1), (TRANSACTIONS, 2)):
        broker.create_topic(name, partitions)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(600):
        event = {
            "event_id": f"evt_{number:012x}",
            "timestamp": 1_760_000_000_000 + number * 700_000,
            "event_type": ("auth_attempt", "network_connection", "file_access")[number % 3],
            "source_ip": f"10.0.{number % 3}.7",
            "user": USERS[number % len(USERS)],
            "status": "failed" if number % 17 == 0 else "success",
            "metadata": {"geo_location": f"DE-BE-{number % 2}", "port": 443},
        }
        producer.produce("security-events", json.dumps(event).encode(), partition=number % 2)
    for day in range(1, 30):
        for number in range(4):
            value = json.dumps(wire(**sale(day, number))).encode()
            producer.produce(TRANSACTIONS, value, partition=number % 2)
    assert producer.flush(60) == 0
    return broker


def view(lake: Path, kind: str) -> list[dict]:
    """Return the rows of a published view, without what names the run."""
    folder = lake / run_directory(read_current(lake)) / kind
    rows = pa.concat_tables(
        pq.read_table(path, partitioning=None) for path in sorted(folder.rglob("*.parquet"))
    ).to_pylist()
    kept = [{name: v for name, v in row.items() if name not in OF_THE_RUN} for row in rows]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def run_both(request) -> str:
    """Publish a security run and compute one analysis; return the batch's id."""
    body = {"topic": TRANSACTIONS, "analysisType": "fraud_scoring"}
    run_id = request("POST", "/security/run")["runId"]
    batch_id = request("POST", "/batch/run", body)["batchId"]

    def ended(path):
        status = request("GET", path)
        return status if status["status"] not in ("PENDING", "RUNNING") else None

    for path in (f"/security/runs/{run_id}", f"/batch/status/{batch_id}"):
        done = wait_for(f"the end of {path}", lambda path=path: ended(path), 900)
        assert done["status"] == "COMPLETED", done
    return batch_id


def test_a_cluster_gives_what_one_machine_gives(cluster, service, filled, settings, lend):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": filled.bootstrap_servers})
    with TestClient(create_app(settings, lend)) as client:
        wait_for("health", lambda: client.get("/health").status_code == 200)
        here = run_both(
            lambda method, path, body=None: client.request(method, path, json=body).json()
        )
    there = run_both(lambda *call: service.request(*call)[1])

    (application,) = cluster.state()["activeapps"]
    assert application["cores"] == 2
    for kind in ("events", "aggregates", "users"):
        assert view(service.lake, kind) == view(settings.lake_dir, kind), kind
    assert len(view(service.lake, "events")) == 600
    scored = [
        DeltaTable(str(lake / "batches" / batch_id / "aggregated" / "fraud_scoring"))
        .to_pyarrow_table()
        .sort_by("transaction_id")
        for lake, batch_id in ((settings.lake_dir, here), (service.lake, there))
    ]
    assert scored[0].equals(scored[1])
    assert set(scored[0]["city"].to_pylist()) == {"Rome"}


def test_a_stop_leaves_no_process_and_no_half_written_table(cluster, service, filled):
    family = psutil.Process(service.process.pid)
    processes = [family, *family.children(recursive=True)]
    service.post("/stream/start", {"topic": TRANSACTIONS})
    stored = service.lake / "stream/transactions"
    wait_for("the stream to write", lambda: is_table(stored), 300)
    body = {"topic": TRANSACTIONS, "analysisType": "full_report"}
    batch_id = service.post("/batch/run", body)["batchId"]

    assert service.post("/stop") == {"status": "shutting_down"}
    assert service.process.wait(180) == 0

    assert psutil.wait_procs(processes, timeout=30)[1] == []
    wait_for("the cluster to be free", lambda: not cluster.state()["activeapps"], 60)
    tables = [log.parent for log in service.lake.rglob("_delta_log")]
    assert stored in tables
    for table in tables:
        assert DeltaTable(str(table)).to_pyarrow_table().num_rows >= 0, table
    # The batch was waited for.
    report = service.lake / "batches" / batch_id / "aggregated"
    assert len(list(report.iterdir())) == 8

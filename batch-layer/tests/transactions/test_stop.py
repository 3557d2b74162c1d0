"""What is left when the service is asked to stop while it works."""

import psutil
import pytest
from deltalake import DeltaTable

from batch_layer.testing import BatchProcess, wait_for
from batch_layer.transactions.records import Status
from batch_layer.transactions.registry import Registry

pytestmark = pytest.mark.integration

TOPIC = "transactions-of-the-stop"
SENT = 500


def test_a_stop_leaves_no_process_and_no_half_written_table(broker, produce, wire, tmp_path):
    broker.create_topic(TOPIC)
    produce(TOPIC, [wire() for _ in range(SENT)])
    environment = {
        "BATCH_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "BATCH_SHUFFLE_PARTITIONS": "2",
        "BATCH_STREAM_TRIGGER": "PT1S",
        "BATCH_DRAIN_TIMEOUT": "PT4M",  # of a busy machine
    }
    with BatchProcess(tmp_path, environment) as service:
        service.post("/stream/start", {"topic": TOPIC})
        body = {"topic": TOPIC, "analysisType": "revenue_by_category"}
        batch_id = service.post("/batch/run", body)["batchId"]
        wait_for("the batch to run", lambda: is_running(service, batch_id))
        family = psutil.Process(service.process.pid)
        processes = [family, *family.children(recursive=True)]

        assert service.post("/stop") == {"status": "shutting_down"}
        assert service.process.wait(300) == 0

        assert len(processes) > 1, "the driver's JVM is a process of its own"
        assert psutil.wait_procs(processes, timeout=30)[1] == []

    tables = {log.parent for log in service.lake.rglob("_delta_log")}
    rows = {table: DeltaTable(str(table)).to_pyarrow_table().num_rows for table in tables}
    # The batch was waited for; the stream stored whole micro-batches.
    registry = Registry(tmp_path / "batch")
    assert registry.get(batch_id).status is Status.COMPLETED
    registry.close()
    batch = service.lake / "batches" / batch_id
    assert rows[batch / "raw"] == SENT
    assert rows[batch / "aggregated/revenue_by_category"] == 1
    assert rows.get(service.lake / "stream/transactions", 0) in (0, SENT)


def is_running(service: BatchProcess, batch_id: str) -> bool:
    return service.get(f"/batch/status/{batch_id}")["status"] == "RUNNING"

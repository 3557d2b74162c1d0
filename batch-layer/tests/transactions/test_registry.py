import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from batch_layer.errors import BatchNotFoundError
from batch_layer.transactions.records import BatchRecord, Status
from batch_layer.transactions.registry import FILE, Registry, new_batch_id

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


def record(name: str = "batch-20260302-00000001", **fields) -> BatchRecord:
    return BatchRecord(batch_id=name, analysis_type="fraud_analysis", submit_time=NOW, **fields)


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path)
    yield registry
    registry.close()


def test_ids_have_the_day_and_eight_hex_digits():
    assert re.fullmatch(r"batch-20260302-[0-9a-f]{8}", new_batch_id(NOW))


def test_a_record_comes_back_as_it_was(registry):
    stored = record(topic="t", start_offset={"0": 1}, end_offset={"0": 9}, filters={"quantity": 2})
    registry.add(stored)

    assert registry.get(stored.batch_id) == stored


def test_an_unknown_id_is_an_error(registry):
    with pytest.raises(BatchNotFoundError, match="batch-x"):
        registry.get("batch-x")


def test_a_change_is_refused_from_a_status_it_does_not_fit(registry):
    registry.add(record(status=Status.COMPLETED))

    assert registry.change(record().batch_id, (Status.RUNNING,), status=Status.FAILED) is None
    assert registry.get(record().batch_id).status is Status.COMPLETED


def test_the_list_is_newest_first_and_filtered(registry):
    for number in range(5):
        status = Status.COMPLETED if number % 2 else Status.FAILED
        registry.add(record(f"batch-{number}", status=status))

    total, batches = registry.newest(Status.FAILED, limit=2)

    assert total == 3
    assert [batch.batch_id for batch in batches] == ["batch-4", "batch-2"]


def test_a_restart_fails_what_was_under_way_and_keeps_the_rest(tmp_path, registry):
    registry.add(record("batch-done", status=Status.COMPLETED, row_count=7))
    registry.add(record("batch-running", status=Status.RUNNING))
    registry.add(record("batch-waiting"))
    registry.close()

    reopened = Registry(tmp_path)
    failed = reopened.fail_unfinished("stopped")

    assert sorted(failed) == ["batch-running", "batch-waiting"]
    assert reopened.get("batch-running").error_message == "stopped"
    assert reopened.get("batch-running").end_time is not None
    assert reopened.get("batch-done").row_count == 7
    reopened.close()


WRITE_UNTIL_KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from batch_layer.transactions.records import BatchRecord
from batch_layer.transactions.registry import Registry

registry = Registry(Path(sys.argv[1]))
for number in range(1_000_000):
    now = datetime.now(UTC)
    registry.add(BatchRecord(batch_id=f"batch-{number}", analysis_type="x", submit_time=now))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_every_acknowledged_batch_survives_kill_9(tmp_path):
    command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 100:
                process.kill()
                break
        last = int(([line, *process.stdout])[-1])

    registry = Registry(tmp_path)
    assert registry.get(f"batch-{last}").batch_id == f"batch-{last}"
    assert registry.newest(None, 1)[0] >= last + 1
    registry.close()
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()

import json
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


FORKED_WRITERS = """
import json, os, random, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from batch_layer.transactions.records import BatchRecord, Status
from batch_layer.transactions.registry import Registry

def write(directory, out):
    registry, number = Registry(directory), 0
    while True:
        name, now = f"batch-{number}", datetime.now(UTC)
        registry.add(BatchRecord(batch_id=name, analysis_type="x", submit_time=now))
        os.write(out, f"{number} PENDING\\n".encode())
        registry.change(name, status=Status.RUNNING, start_time=now)
        os.write(out, f"{number} RUNNING\\n".encode())
        registry.change(name, status=Status.COMPLETED, row_count=number)
        os.write(out, f"{number} COMPLETED\\n".encode())
        number += 1

rng = random.Random(int(sys.argv[2]))
for round_number in range(int(sys.argv[3])):
    directory = Path(sys.argv[1]) / str(round_number)
    inlet, outlet = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(inlet)
        write(directory, outlet)
    os.close(outlet)
    # Any number of bytes, so that the kill meets any of the steps.
    data = os.read(inlet, 1)
    wanted = rng.randrange(1, 2000)
    while len(data) < wanted:
        data += os.read(inlet, rng.randrange(1, 40))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(inlet, 65536):
        data += more
    os.close(inlet)
    print(json.dumps(data.decode().splitlines()), flush=True)
"""
KILLS = 20
ORDER = [Status.PENDING, Status.RUNNING, Status.COMPLETED]


def test_what_was_acknowledged_survives_kill_9_at_any_instant(tmp_path):
    command = [sys.executable, "-c", FORKED_WRITERS, str(tmp_path), "7", str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)

    for number, line in enumerate(done.stdout.splitlines()):
        said = dict(one.split() for one in json.loads(line))  # the last word on each batch
        connection = sqlite3.connect(tmp_path / str(number) / FILE)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        registry = Registry(tmp_path / str(number))
        for name, status in said.items():
            kept = registry.get(f"batch-{name}")
            assert ORDER.index(kept.status) >= ORDER.index(Status(status))
            assert kept.row_count == (int(name) if kept.status is Status.COMPLETED else None)
        # At most one change was under way, so at most one batch is new that nobody heard of.
        assert registry.newest(None, 1)[0] - len(said) in (0, 1)
        registry.fail_unfinished("stopped")
        assert registry.newest(Status.RUNNING, 1)[0] == registry.newest(Status.PENDING, 1)[0] == 0
        registry.close()
    assert number + 1 == KILLS

"""Runs that are missing, damaged or wrong: the previous snapshot stays, and the fault is named."""

import pyarrow.parquet as pq
import pytest

from contracts.lake import SECURITY, write_current
from contracts.views import Manifest, ViewFile
from serving_layer.errors import DamagedFileError
from serving_layer.testing import RunPartition, event_record, publish_run, wait_until
from serving_layer.views.event_files import EventFileCache

TOPIC = "security-events"


def run(stack, run_id, until, *, current=True):
    records = [event_record(offset) for offset in range(until)]
    return publish_run(
        stack.lake, run_id, [RunPartition(TOPIC, 0, records, until)], current=current
    )


def path_of(stack, manifest: Manifest, kind: str):
    files: dict[str, list[ViewFile]] = {
        "events": manifest.event_files,
        "alerts": manifest.alert_files,
        "aggregates": manifest.aggregate_files,
        "users": manifest.user_files,
    }
    return stack.lake / SECURITY / files[kind][0].path


@pytest.mark.parametrize("kind", ["events", "alerts", "aggregates", "users"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_the_previous_run_keeps_serving_and_the_file_is_named(stack, kind, damage):
    run(stack, "r1", 3)
    part = stack.speed.partition(TOPIC, 0)
    part.append([event_record(offset) for offset in range(9)])
    stack.start()
    file = path_of(stack, manifest := run(stack, "r2", 8, current=False), kind)
    whole = file.read_bytes()
    file.unlink() if damage == "missing" else file.write_bytes(whole[: len(whole) // 2])
    write_current(stack.lake, manifest.run_id)

    status = stack.wait("/api/health/status", lambda body: body["run_failure"])
    assert file.name in status["run_failure"]["file"]
    assert (status["status"], status["run_id"]) == ("degraded", "r1")
    assert stack.json("/api/events/count") == {
        "count": 9, "batch": 3, "realtime": 6, "complete": True,
    }  # fmt: skip
    assert f'serving_run_failure{{file="{status["run_failure"]["file"]}"}} 1.0' in (
        stack.get("/metrics").text
    )

    file.write_bytes(whole)
    assert stack.wait("/api/events/count", lambda body: body["batch"] == 8)["count"] == 9
    assert stack.json("/api/health/status")["run_failure"] is None


def test_a_file_with_other_rows_than_promised_is_refused(tmp_path, stack):
    manifest = run(stack, "r1", 3)
    wrong = manifest.event_files[0].model_copy(update={"rows": 4})

    with pytest.raises(DamagedFileError, match="holds 3 rows, the manifest says 4"):
        EventFileCache(tmp_path / "cache").rows(stack.lake / SECURITY, wrong)


def test_a_damaged_copy_of_ours_is_made_again(tmp_path, stack):
    manifest = run(stack, "r1", 3)
    cache = EventFileCache(tmp_path / "cache")
    cache.rows(stack.lake / SECURITY, manifest.event_files[0])
    copy = next((tmp_path / "cache").glob("*.arrow"))
    copy.write_bytes(b"damaged")

    assert cache.rows(stack.lake / SECURITY, manifest.event_files[0]).rows == 3


def test_with_no_run_that_loads_it_is_not_ready_and_says_why(stack):
    file = path_of(stack, run(stack, "r1", 3), "events")
    whole = file.read_bytes()
    file.unlink()
    stack.speed.partition(TOPIC, 0).append([event_record(offset) for offset in range(9)])
    stack.start(ready=False)

    wait_until(lambda: "missing" in stack.get("/api/health/ready").text, "the reason")
    response = stack.get("/api/events")
    assert response.status_code == 503
    assert "part-0.parquet" in response.json()["detail"]

    file.write_bytes(whole)
    wait_until(lambda: stack.get("/api/health/ready").status_code == 200, "ready")
    assert stack.json("/api/events/count")["count"] == 9


def test_a_hole_in_a_run_shows_in_the_account(stack):
    manifest = run(stack, "r1", 5)
    file = path_of(stack, manifest, "events")
    pq.write_table(pq.read_table(file, partitioning=None).slice(1), file)
    listed = manifest.event_files[0].model_copy(update={"rows": 4})
    holed = manifest.model_copy(update={"event_files": [listed]})
    (stack.lake / "security/runs/r1/manifest.json").write_text(holed.model_dump_json())
    stack.speed.partition(TOPIC, 0).append([event_record(offset) for offset in range(7)])
    stack.start()

    account = stack.json("/consistency")

    assert (account["missing"], account["double"]) == (1, 0)
    text = stack.get("/metrics").text
    assert 'serving_consistency_missing{partition="0",topic="security-events"} 1.0' in text


def test_a_row_that_two_files_hold_shows_as_double(stack):
    manifest = run(stack, "r1", 5)
    twice = manifest.model_copy(
        update={"event_files": manifest.event_files + run(stack, "r0", 1).event_files}
    )
    (stack.lake / "security/runs/r1/manifest.json").write_text(twice.model_dump_json())
    write_current(stack.lake, "r1")
    stack.speed.partition(TOPIC, 0).append([event_record(offset) for offset in range(7)])
    stack.start()

    account = stack.json("/consistency")

    assert (account["missing"], account["double"]) == (0, 1)


def test_copies_of_files_that_no_run_lists_are_deleted(stack):
    run(stack, "r1", 3)
    stack.speed.partition(TOPIC, 0).append([event_record(offset) for offset in range(9)])
    stack.start()
    run(stack, "r2", 8)
    stack.wait("/api/events/count", lambda body: body["batch"] == 8)

    wait_until(lambda: len(list(stack.data.glob("event-files/*.arrow"))) == 1, "one copy is left")

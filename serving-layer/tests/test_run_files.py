"""Runs that are missing, damaged or wrong: the previous snapshot stays, and the fault is named."""

import pyarrow.parquet as pq
import pytest

from contracts.lake import CURRENT, SECURITY, manifest_path, write_current
from contracts.views import Manifest, ViewFile
from serving_layer.errors import DamagedFileError
from serving_layer.testing import (
    RunPartition,
    alert_record,
    event_record,
    publish_run,
    user_record,
    wait_until,
)
from serving_layer.views.event_files import EventFileCache

TOPIC = "security-events"


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch):
    monkeypatch.setattr("serving_layer.run_watcher._RETRY_SECONDS", 0.05)


def run(stack, run_id, until, *, current=True):
    records = [event_record(offset) for offset in range(until)]
    alerts = [alert_record(TOPIC, 0, until - 1)]
    partition = RunPartition(TOPIC, 0, records, until, alerts=alerts)
    return publish_run(stack.lake, run_id, [partition], [user_record("alice")], current=current)


def path_of(stack, manifest: Manifest, kind: str):
    if kind == "report":
        return stack.lake / SECURITY / manifest.report
    files: dict[str, list[ViewFile]] = {
        "events": manifest.event_files,
        "alerts": manifest.alert_files,
        "aggregates": manifest.aggregate_files,
        "users": manifest.user_files,
    }
    return stack.lake / SECURITY / files[kind][0].path


def missing(file):
    file.unlink()


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(file):
    """Change one bit of one value; the file's frame stays whole."""
    column = pq.read_metadata(file).row_group(0).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(file.read_bytes())
    data[begin + column.total_compressed_size - 1] ^= 1
    file.write_bytes(data)


KINDS = ("events", "alerts", "aggregates", "users")
DAMAGE = [(kind, damage) for kind in KINDS for damage in (missing, cut, flipped)]


@pytest.mark.parametrize(
    ("kind", "damage"),
    [*DAMAGE, ("report", missing), ("report", cut)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_previous_run_keeps_serving_and_the_file_is_named(stack, kind, damage):
    run(stack, "r1", 3)
    part = stack.speed.partition(TOPIC, 0)
    part.append([event_record(offset) for offset in range(9)])
    stack.start()
    file = path_of(stack, manifest := run(stack, "r2", 8, current=False), kind)
    whole = file.read_bytes()
    damage(file)
    write_current(stack.lake, manifest.run_id)

    assert_first_run_is_served(stack, str(file.relative_to(stack.lake / SECURITY)))

    file.write_bytes(whole)
    assert stack.wait("/api/events/count", lambda body: body["batch"] == 8)["count"] == 9
    stack.wait("/api/health/ready", lambda body: body["run_failure"] is None)


def assert_first_run_is_served(stack, named):
    ready = stack.wait("/api/health/ready", lambda body: body["run_failure"])
    assert (ready["status"], ready["run_failure"]["file"]) == ("ready", named)
    status = stack.json("/api/health/status")
    assert (status["status"], status["run_id"]) == ("degraded", "r1")
    assert status["run_failure"] == ready["run_failure"]
    assert stack.json("/api/events/count") == {
        "count": 9, "batch": 3, "realtime": 6, "complete": True,
    }  # fmt: skip
    assert f'serving_run_failure{{file="{named}"}} 1.0' in stack.get("/metrics").text


@pytest.mark.parametrize(
    ("file", "data", "named"),
    [
        pytest.param(manifest_path("r2"), None, manifest_path("r2"), id="manifest-missing"),
        pytest.param(manifest_path("r2"), b'{"run_id"', manifest_path("r2"), id="manifest-cut"),
        pytest.param(manifest_path("r2"), b'{"seam": 1}', manifest_path("r2"), id="manifest-wrong"),
        pytest.param(CURRENT, b"r9\n", manifest_path("r9"), id="pointer-to-no-run"),
        pytest.param(CURRENT, b"\0" * 20, CURRENT, id="pointer-of-zeros"),
        pytest.param(CURRENT, b"", CURRENT, id="pointer-empty"),
        pytest.param(CURRENT, None, CURRENT, id="pointer-missing"),
    ],
)
def test_a_pointer_or_manifest_that_leads_nowhere_is_named(stack, file, data, named):
    run(stack, "r1", 3)
    stack.speed.partition(TOPIC, 0).append([event_record(offset) for offset in range(9)])
    stack.start()
    run(stack, "r2", 8, current=False)
    path = stack.lake / file
    path.unlink() if data is None else path.write_bytes(data)
    if file != CURRENT:
        write_current(stack.lake, "r2")

    assert_first_run_is_served(stack, str(named))

    run(stack, "r2", 8)
    assert stack.wait("/api/events/count", lambda body: body["batch"] == 8)["count"] == 9
    stack.wait("/api/health/ready", lambda body: body["run_failure"] is None)


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


def test_a_start_with_a_damaged_pointer_is_not_ready_and_says_why(stack):
    run(stack, "r1", 3)
    (stack.lake / CURRENT).write_bytes(b"\0" * 20)
    stack.start(ready=False)

    wait_until(lambda: "holds no run id" in stack.get("/api/health/ready").text, "the reason")
    assert stack.get("/api/health/ready").status_code == 503


def test_a_start_without_the_pointer_serves_the_log_and_says_so(stack):
    run(stack, "r1", 3)
    (stack.lake / CURRENT).unlink()
    stack.speed.partition(TOPIC, 0).append([event_record(offset) for offset in range(9)])
    stack.start()

    assert stack.json("/api/events/count")["realtime"] == 9
    assert stack.json("/api/health/ready")["run_failure"]["file"] == str(CURRENT)


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

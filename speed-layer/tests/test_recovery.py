"""Where a partition starts, and that its state is the one it had."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts import lake
from contracts.alerts import ALERT_SCHEMA
from contracts.decoder import decode
from contracts.views import Manifest, PartitionSeam, ViewFile
from detection import VERSION, Engine
from speed_layer.partition import Partition
from speed_layer.settings import Settings

TOPIC = "security-events"
KEY = (TOPIC, 0)


def engine_after(events, count):
    engine = Engine()
    engine.process(decode(TOPIC, 0, range(count), events[:count]).events)
    return engine


def publish(settings, events, seam, *, alerts=(), version=VERSION):
    """Write a run as the batch layer does, as far as the speed layer reads it."""
    root = settings.lake_dir / lake.SECURITY / "runs" / "r1"
    (root / "state").mkdir(parents=True)
    state = root / "state" / lake.state_name(*KEY)
    state.write_bytes(engine_after(events, seam).snapshot())
    pq.write_table(pa.Table.from_pylist(list(alerts), ALERT_SCHEMA), root / "alerts.parquet")
    manifest = Manifest(
        run_id="r1",
        created_at=0,
        full=True,
        detection_version=version,
        scorer="calibrated",
        algorithm="isolation_forest",
        seam=[
            PartitionSeam(
                topic=TOPIC, partition=0, first_offset=0, next_offset=seam, rows=seam, skipped=0
            )
        ],
        event_files=[],
        alert_files=[ViewFile(path="runs/r1/alerts.parquet", rows=len(alerts), bytes=0)],
        aggregate_files=[],
        user_files=[],
        state_files=[ViewFile(path=f"runs/r1/state/{state.name}", rows=0, bytes=0)],
        report="",
    )
    (root / "manifest.json").write_text(manifest.model_dump_json())
    lake.write_current(settings.lake_dir, "r1")


def test_state_is_replayed_from_snapshot_and_segments(settings, events, feed):
    cuts = sorted(random.Random(3).sample(range(1, 4000), 12))
    short = Settings(**{**settings.model_dump(), "snapshot_events": 1500})
    partition = Partition(KEY, short, 0)
    for first, last in zip([0, *cuts], [*cuts, 4000], strict=True):
        feed(partition, first, last)
    assert 0 < partition.store.snapshot_offset < 4000
    partition.close()

    again = Partition(KEY, short, 0)
    assert again.recovered_from == "store"
    assert again.engine.snapshot() == engine_after(events, 4000).snapshot()
    again.close()


def test_duplicates_are_part_of_the_replay(settings, events, feed):
    partition = Partition(KEY, settings, 0)
    feed(partition, 0, 500)
    doubled = feed(partition, 500, 600)
    events[600:650], kept = events[500:550], events[600:650]
    feed(partition, 600, 650)
    events[600:650] = kept
    seen, state = partition.engine.events_seen, partition.engine.snapshot()
    assert partition.position.duplicates == 50
    assert doubled.position.duplicates == 0
    partition.close()

    again = Partition(KEY, settings, 0)
    assert again.engine.events_seen == seen
    assert again.engine.snapshot() == state
    again.close()


def test_a_missing_store_starts_from_the_published_run(settings, events, feed):
    publish(settings, events, 2000)
    partition = Partition(KEY, settings, 0)

    assert partition.recovered_from == "run r1"
    assert (partition.position.next_offset, partition.position.rows) == (2000, 2000)
    feed(partition, 2000, 3000)
    assert partition.engine.snapshot() == engine_after(events, 3000).snapshot()
    partition.close()


def test_a_store_below_the_seam_jumps_to_it_and_publishes_the_alerts_between(
    settings, events, feed
):
    partition = Partition(KEY, settings, 0)
    feed(partition, 0, 1000)
    pending = len(partition.store.outbox())
    partition.close()
    alert = {
        "alert_id": "a1",
        "user_id": "ada",
        "alert_type": "RAPID_ACTIVITY",
        "description": "",
        "timestamp": 1,
        "severity": "HIGH",
        "event_count": 51,
        "resolved": False,
        "rule_id": "r",
        "rule_version": "1",
        "first_seen": 1,
        "last_seen": 1,
        "event_ids": [],
        "source_ips": [],
        "techniques": [],
        "topic": TOPIC,
        "partition": 0,
    }
    rows = [{**alert, "offset": 999, "alert_id": "old"}, {**alert, "offset": 1500}]
    publish(settings, events, 2000, alerts=rows)

    again = Partition(KEY, settings, 0)
    assert (again.position.next_offset, again.store.segments_from) == (2000, 2000)
    added = again.store.outbox()[pending:]
    assert [entry.topic for entry in added] == ["security-alerts", "notifications"]
    assert all(b'"a1"' in entry.value for entry in added)
    again.close()


def test_a_store_above_the_seam_goes_on_by_itself(settings, events, feed):
    partition = Partition(KEY, settings, 0)
    feed(partition, 0, 3000)
    partition.close()
    publish(settings, events, 2000)

    again = Partition(KEY, settings, 0)
    assert again.recovered_from == "store"
    assert again.position.next_offset == 3000
    again.close()


@pytest.mark.parametrize("usable", [True, False])
def test_a_damaged_snapshot_is_rebuilt_from_the_run_or_the_log(settings, events, feed, usable):
    partition = Partition(KEY, settings, 0)
    feed(partition, 0, 1000)
    partition.snapshot()
    partition.store._connection.execute("UPDATE snapshot_parts SET state = CAST('x' AS BLOB)")
    partition.close()
    publish(settings, events, 800, version=VERSION if usable else "another")

    again = Partition(KEY, settings, 5)
    assert again.recovered_from == ("run r1" if usable else "log")
    assert again.position.next_offset == (800 if usable else 5)
    again.close()


def test_a_store_of_another_scorer_is_rebuilt(settings, feed):
    partition = Partition(KEY, settings, 0)
    feed(partition, 0, 1000)
    pending = partition.store.outbox()
    partition.close()

    again = Partition(KEY, Settings(**{**settings.model_dump(), "scorer": "reference"}), 7)
    assert again.position.next_offset == 7
    assert [entry.value for entry in again.store.outbox()] == [entry.value for entry in pending]
    again.close()


def test_pruning_takes_the_snapshot_it_needs_and_recovery_still_works(settings, events, feed):
    partition = Partition(KEY, settings, 0)
    for first in range(0, 3000, 500):
        feed(partition, first, first + 500)
    partition.prune(1700)
    assert partition.store.segments_from == 1500
    partition.close()

    again = Partition(KEY, settings, 0)
    assert again.engine.snapshot() == engine_after(events, 3000).snapshot()
    again.close()


STATE = f"runs/r1/state/{lake.state_name(*KEY)}"
RUN_DAMAGE = {
    "pointer-to-no-run": ("CURRENT", b"gone", "runs/gone/manifest.json"),
    "pointer-of-zeros": ("CURRENT", b"\0" * 20, "security/CURRENT"),
    "manifest-missing": ("runs/r1/manifest.json", None, "runs/r1/manifest.json"),
    "manifest-cut": ("runs/r1/manifest.json", b'{"run_id": "r1"', "runs/r1/manifest.json"),
    "state-missing": (STATE, None, STATE),
    "state-cut": (STATE, b"half", f"{TOPIC}[0] from run r1"),
}


@pytest.mark.parametrize("damage", RUN_DAMAGE)
def test_a_damaged_run_is_no_reason_to_stop(settings, events, feed, damage, caplog):
    publish(settings, events, 2000)
    name, data, named = RUN_DAMAGE[damage]
    file = settings.lake_dir / lake.SECURITY / name
    file.unlink() if data is None else file.write_bytes(data)

    partition = Partition(KEY, settings, 7)
    assert (partition.recovered_from, partition.position.next_offset) == ("log", 7)
    assert named in caplog.text
    feed(partition, 7, 1000)
    partition.snapshot()
    partition.close()

    again = Partition(KEY, settings, 7)
    assert (again.recovered_from, again.position.next_offset) == ("store", 1000)
    again.store._connection.execute("UPDATE snapshot_parts SET state = CAST('x' AS BLOB)")
    again.close()
    third = Partition(KEY, settings, 9)
    assert (third.recovered_from, third.position.next_offset) == ("log", 9)
    third.close()

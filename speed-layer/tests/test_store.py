"""The store alone: transactions, damage, bounds."""

import os
import sqlite3

import pytest

from speed_layer import store as store_module
from speed_layer.errors import StoreBusyError, StoreDamagedError, StoreUnavailableError
from speed_layer.store import Commit, OutboxEntry, Position, Store, advanced


@pytest.fixture
def path(tmp_path):
    return tmp_path / "security-events" / "0.sqlite"


def commit(first, following, **more):
    return Commit(
        first, advanced(Position(0, first), following, rows=following - first), b"segment", **more
    )


def begun(path, **options):
    store = Store(path, **options)
    store.begin(Position(0, 0), "1/calibrated", state=None)
    return store


def test_what_was_written_is_there_after_reopening(path):
    with begun(path) as store:
        entries = store.write(commit(0, 10, outbox=[OutboxEntry("alerts", b"ada", b"{}")]))
        store.write(commit(10, 15))

    with Store(path) as store:
        assert store.position.next_offset == 15
        assert [data for data, _ in store.segments(0)] == [b"segment", b"segment"]
        assert store.outbox() == entries
        store.remove_from_outbox([entry.id for entry in entries])
        assert store.outbox() == []


def test_a_second_writer_is_refused(path):
    with begun(path), pytest.raises(StoreBusyError, match="another process"):
        Store(path)


def test_a_full_store_keeps_nothing_of_a_refused_commit(path):
    with begun(path, max_bytes=300_000) as store:
        store.write(commit(0, 10))
        big = Commit(10, Position(0, 20, 20), os.urandom(600_000))
        with pytest.raises(StoreUnavailableError, match="full"):
            store.write(big)

        assert store.position == Position(0, 10, 10)
        assert len(list(store.segments(0))) == 1
        store.write(commit(10, 20))


def test_a_locked_store_is_unavailable_and_then_available(path):
    with begun(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            store.write(commit(0, 10))
        other.execute("ROLLBACK")
        other.close()
        store.write(commit(0, 10))

        assert store.position.next_offset == 10


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"no database" * 100, id="other-bytes"),
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data[:100] + b"\xff" * 8000 + data[8100:], id="overwritten"),
    ],
)
def test_damage_is_found_when_opening_after_a_crash(path, damage):
    with begun(path) as store:
        for first in range(0, 200, 10):
            store.write(commit(first, first + 10, snapshot=os.urandom(20_000)))
    path.write_bytes(damage(path.read_bytes()))
    path.with_suffix(".lock").write_bytes(b"dirty")  # as a killed process leaves it

    with Store(path) as store:
        assert store.position is None
    assert list(path.parent.glob("0.sqlite.damaged-*"))


def test_changed_bytes_of_a_segment_are_noticed(path):
    with begun(path) as store:
        store.write(commit(0, 10))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("UPDATE segments SET data = CAST('segmenT' AS BLOB)")
        other.close()
        with pytest.raises(StoreDamagedError, match="checksum of segment 0"):
            list(store.segments(0))


def test_a_snapshot_larger_than_one_value_comes_back(path, monkeypatch):
    monkeypatch.setattr(store_module, "SNAPSHOT_PART_BYTES", 1_000)
    states = [os.urandom(size) for size in (10_500, 3_000, 0)]
    with begun(path) as store:
        for number, state in enumerate(states):
            store.write(commit(10 * number, 10 * number + 10, snapshot=state))
            assert store.snapshot().state == state
    with sqlite3.connect(path) as connection:
        connection.execute("REPLACE INTO snapshot VALUES (0, 30, 0, 1)")
    with Store(path) as store, pytest.raises(StoreDamagedError):
        store.snapshot()


def test_pruning_stops_at_the_seam_and_at_the_snapshot(path):
    with begun(path) as store:
        for first in range(0, 100, 10):
            snapshot = b"state" if first == 50 else None
            store.write(commit(first, first + 10, alerts=[(first, 0, b"{}")], snapshot=snapshot))

        store.prune(35)
        assert store.segments_from == 30
        store.prune(90)
        assert store.segments_from == 60
        assert [offset for offset, *_ in store.alerts()] == [60, 70, 80, 90]
    with Store(path) as store:
        assert store.segments_from == 60

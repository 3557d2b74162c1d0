"""What is held lies in files without names; a disk that is full costs memory, not answers."""

import mmap

import numpy as np
import pyarrow as pa
import pytest

from serving_layer.testing import event_record, segment_table, wait_until
from serving_layer.views.index import EventIndex, merged
from serving_layer.views.interning import Interners
from serving_layer.views.scratch import LEAST_ROWS, Scratch
from serving_layer.views.tiers import FANOUT

TOPIC = "security-events"


def test_arrays_are_the_same_and_leave_no_file(tmp_path):
    given = [np.arange(5), np.empty(0, np.int32), np.array([True, False]), np.ones(70_000)]

    found = Scratch(tmp_path / "scratch").arrays(iter(given))

    for array, expected in zip(found, given, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
        assert is_mapped(array)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_batches_keep_rows_and_bounds(tmp_path):
    given = [pa.record_batch({"n": [1, 2], "raw": [b"x", None]}) for _ in range(3)]

    before = pa.total_allocated_bytes()
    found = Scratch(tmp_path).batches(given)

    assert found == given
    assert pa.total_allocated_bytes() == before


def test_a_large_merge_lies_in_a_file_and_a_small_one_in_memory(tmp_path):
    interners = Interners()

    def index(first: int, rows: int) -> EventIndex:
        records = [event_record(offset) for offset in range(first, first + rows)]
        return EventIndex.build(segment_table(records), 0, interners)

    scratch = Scratch(tmp_path)
    large = merged([index(0, LEAST_ROWS), index(LEAST_ROWS, 10)], scratch)
    small = merged([index(0, 10), index(10, 10)], scratch)

    assert is_mapped(large.columns.user)
    assert not any(large.piece.in_memory)
    assert not is_mapped(small.columns.user)
    assert large.gather(np.array([0, len(large) - 1]), ["event_id"]) == [
        (event_record(LEAST_ROWS + 9)["event_id"],),
        (event_record(0)["event_id"],),
    ]


def test_rows_stay_in_memory_while_the_disk_takes_none(stack, caplog):
    part = stack.speed.partition(TOPIC, 0)
    stack.start()
    place = stack.data / "scratch"
    place.write_text("a file where the folder should be")
    rows = LEAST_ROWS // FANOUT
    for first in range(0, LEAST_ROWS, rows):  # one index each: the merge of all is a large one
        part.append([event_record(first + number) for number in range(rows)])
        held = first + rows
        stack.wait("/api/stats/summary", lambda body, held=held: body["totalEvents"] == held)

    wait_until(lambda: "keeping rows in memory" in caplog.text, "the warning")
    assert stack.json("/consistency")["missing"] == 0


def is_mapped(array: np.ndarray) -> bool:
    """Return whether an array lies in a mapped file."""
    return isinstance(array.base, mmap.mmap) or (
        array.base is not None and isinstance(getattr(array.base, "obj", None), mmap.mmap)
    )


def test_a_full_disk_is_an_error(tmp_path):
    place = tmp_path / "file"
    place.write_text("")

    with pytest.raises(OSError, match="file"):
        Scratch(place).arrays([np.arange(3)])

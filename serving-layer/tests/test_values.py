"""Single values from Arrow's buffers are those that Arrow gives."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_layer.views.columns import distinct
from serving_layer.views.stored import COLD, PARTS, STORED_SCHEMA
from serving_layer.views.values import reader

PARTS_LENGTH = STORED_SCHEMA.field(PARTS).type.list_size
TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
FLOATS = st.one_of(
    st.none(), st.lists(st.floats(allow_nan=False), min_size=PARTS_LENGTH, max_size=PARTS_LENGTH)
)
VALUES = {
    pa.string(): TEXTS,
    pa.binary(): st.one_of(st.none(), st.binary(max_size=5)),
    pa.list_(pa.string()): st.one_of(st.none(), st.lists(TEXTS, max_size=3)),
    STORED_SCHEMA.field(PARTS).type: FLOATS,
    pa.list_(pa.int64(), 2): st.one_of(st.none(), st.just([1, 2])),
    pa.large_string(): TEXTS,
    pa.int32(): st.one_of(st.none(), st.integers(-9, 9)),
}


@pytest.mark.parametrize("kind", VALUES, ids=str)
@given(st.data())
def test_values_are_arrows_own_whatever_the_slice(kind, data):
    values = data.draw(st.lists(VALUES[kind], max_size=20))
    first = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - first))
    array = pa.array(values, kind).slice(first, length)
    read = reader(array)
    assert [read(position) for position in range(length)] == values[first : first + length]


def test_they_live_as_long_as_their_reader():
    read = reader(pa.array(["a" * 100, "b" * 100]))
    churn = [pa.array(["x" * 100]) for _ in range(1_000)]
    assert (read(0), read(1), len(churn)) == ("a" * 100, "b" * 100, 1_000)


def test_a_slice_of_a_file_is_read_like_memory(tmp_path):
    rows = pa.table({"raw": pa.array([b"a", None, b"c"]), "ids": pa.array(["x", "y", "z"])})
    with pa.OSFile(str(tmp_path / "rows"), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as out:
        out.write_table(rows)
    batch = pa.ipc.open_file(pa.memory_map(str(tmp_path / "rows"))).get_batch(0).slice(1)
    reads = [reader(batch.column(name)) for name in ("raw", "ids")]
    del batch
    assert [[read(0), read(1)] for read in reads] == [[None, b"c"], ["y", "z"]]


def test_every_column_that_pages_read_is_of_a_kind_tested_above():
    assert {STORED_SCHEMA.field(name).type for name in COLD} <= VALUES.keys()


@given(st.lists(st.integers(-5, 5)))
def test_distinct_values_ascend(values):
    assert distinct(np.array(values, np.int64)).tolist() == sorted(set(values))

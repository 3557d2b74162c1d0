"""Single values of Arrow arrays, straight from their buffers.

A page of scattered rows takes a few values of each of many record batches. There Arrow's own
``take`` costs many times the values, which are one slice of bytes each. Layout of the
buffers: https://arrow.apache.org/docs/format/Columnar.html#physical-memory-layout
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

Reader = Callable[[int], Any]
"""Gives the value at a position, as ``array[position].as_py()`` does."""


def reader(array: pa.Array) -> Reader:
    """Return what reads single values of an array, which it keeps alive.

    Strings, bytes, lists of them, and lists of a fixed number of floats are read from the buffers,
    everything else by Arrow.
    """
    plain = _plain(array)
    if plain is None:
        return lambda position: array[position].as_py()
    if not array.null_count:
        return plain
    validity, first = memoryview(array.buffers()[0]), array.offset

    def nullable(position: int) -> object:
        bit = position + first
        return plain(position) if validity[bit >> 3] >> (bit & 7) & 1 else None

    return nullable


def _plain(array: pa.Array) -> Reader | None:
    """Return what reads values that are not null; None for a type that Arrow reads."""
    kind = array.type
    if len(array) == 0:
        return None
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _bytes(array, is_text=pa.types.is_string(kind))
    if pa.types.is_list(kind):
        return _lists(array)
    if pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float64():
        return _floats(array)
    return None


def _bytes(array: pa.Array, *, is_text: bool) -> Reader:
    _, offsets, data = array.buffers()
    ends, first = memoryview(offsets).cast("i"), array.offset
    values = memoryview(b"") if data is None else memoryview(data)
    if is_text:
        return lambda position: str(
            values[ends[position + first] : ends[position + first + 1]], "utf-8"
        )
    return lambda position: bytes(values[ends[position + first] : ends[position + first + 1]])


def _lists(array: pa.Array) -> Reader:
    ends, first = memoryview(array.buffers()[1]).cast("i"), array.offset
    item = reader(array.values)
    return lambda position: [
        item(place) for place in range(ends[position + first], ends[position + first + 1])
    ]


def _floats(array: pa.Array) -> Reader | None:
    items, size = array.values, array.type.list_size
    if items.null_count:
        return None
    first = array.offset * size + items.offset
    values = memoryview(items.buffers()[1]).cast("d")
    return lambda position: values[first + position * size : first + (position + 1) * size].tolist()

"""Stored rows, addressed by row number: Arrow record batches, in memory or in files."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serving_layer.views.columns import distinct
from serving_layer.views.scratch import Scratch
from serving_layer.views.values import Reader, reader

COPY_BELOW_ROWS = 65_536
"""Joining pieces of fewer rows copies them into one batch: thousands of tiny batches would cost
more memory than their rows."""


class Piece:
    """Immutable rows in record batches of one schema.

    Args:
        batches: The rows.
        in_memory: Whether each batch lies in memory, and not in a file; all do by default.
    """

    def __init__(
        self, batches: Sequence[pa.RecordBatch], in_memory: Sequence[bool] | None = None
    ) -> None:
        self.batches = list(batches)
        self.in_memory = [True] * len(batches) if in_memory is None else list(in_memory)
        sizes = [batch.num_rows for batch in self.batches]
        self.starts: npt.NDArray[np.int64] = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        self.rows = sum(sizes)
        self._names = {name: i for i, name in enumerate(self.batches[0].schema.names)}
        self._readers: dict[tuple[int, tuple[str, ...]], tuple[Reader, ...]] = {}

    def gather(self, rows: npt.NDArray[np.int64], names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return named values of many rows, in the order of ``rows``."""
        at = np.searchsorted(self.starts, rows, side="right") - 1
        inside, numbers, wanted = (rows - self.starts[at]).tolist(), at.tolist(), tuple(names)
        readers = {number: self._read(number, wanted) for number in set(numbers)}
        return [
            tuple(read(position) for read in readers[number])
            for number, position in zip(numbers, inside, strict=True)
        ]

    def _read(self, number: int, names: tuple[str, ...]) -> tuple[Reader, ...]:
        """Return what reads columns of a batch; made when they are first asked for."""
        found = self._readers.get((number, names))
        if found is None:
            batch = self.batches[number]
            found = tuple(reader(batch.column(self._names[name])) for name in names)
            self._readers[number, names] = found
        return found

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column over all rows."""
        return pa.chunked_array([batch.column(self._names[name]) for batch in self.batches])

    def used(self, rows: npt.NDArray[np.int64]) -> tuple["Piece", npt.NDArray[np.int64]]:
        """Return a piece without the batches that hold none of ``rows``, and the rows in it."""
        at = np.searchsorted(self.starts, rows, side="right") - 1
        kept = distinct(at)
        if len(kept) == len(self.batches):
            return self, rows
        piece = Piece([self.batches[i] for i in kept], [self.in_memory[i] for i in kept])
        moved = piece.starts[np.searchsorted(kept, at)] + rows - self.starts[at]
        return piece, moved


def joined(pieces: Sequence[Piece], scratch: Scratch | None = None) -> Piece:
    """Return the rows of ``pieces`` one after the other.

    Args:
        pieces: At least one.
        scratch: Where rows move that lie in memory; without it, they stay there.

    Raises:
        OSError: The disk does not take them.
    """
    batches = [batch for piece in pieces for batch in piece.batches]
    in_memory = [each for piece in pieces for each in piece.in_memory]
    if sum(piece.rows for piece in pieces) < COPY_BELOW_ROWS and len(batches) > 1:
        batches = pa.Table.from_batches(batches).combine_chunks().to_batches()
        in_memory = [True] * len(batches)
    if scratch is None or not any(in_memory):
        return Piece(batches, in_memory)
    moved = iter(scratch.batches([b for b, held in zip(batches, in_memory, strict=True) if held]))
    batches = [next(moved) if held else b for b, held in zip(batches, in_memory, strict=True)]
    return Piece(batches, [False] * len(batches))

"""Large arrays and rows in files instead of in memory.

The files have no name and are mapped read-only: the kernel takes their pages back when something
else needs memory, and they are gone with the process. They are made by plain writes, so that a
full disk is an error here and not a fault of whoever reads a page (SIGBUS).
"""

import mmap
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

LEAST_ROWS = 16_384
_ALIGNMENT = 64


class Scratch:
    """Moves what it is given into files of one folder.

    Args:
        directory: On a disk, not in memory; made when it is first needed.
        least_rows: Indexes of fewer stay in memory: there are few, and merges soon take them in.
    """

    def __init__(self, directory: Path, least_rows: int = LEAST_ROWS) -> None:
        self._directory = directory
        self.least_rows = least_rows

    def __str__(self) -> str:
        return str(self._directory)

    def arrays(self, arrays: Iterable[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Return the same one-dimensional arrays, read-only, in one file.

        An iterator may make them one by one: each is let go before the next one is taken.

        Raises:
            OSError: The disk does not take them.
        """
        places: list[tuple[np.dtype[Any], int, int]] = []
        with self._file() as file:
            for array in arrays:
                at = -(-file.tell() // _ALIGNMENT) * _ALIGNMENT
                file.seek(at)
                file.write(np.ascontiguousarray(array).data)
                places.append((array.dtype, len(array), at))
            data = _mapped(file)
        return [np.frombuffer(data, kind, count, at) for kind, count, at in places]

    def batches(self, batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """Return the same batches, of one schema and at least one, in one file.

        Raises:
            OSError: The disk does not take them.
        """
        with self._file() as file:
            with pa.ipc.new_stream(file, batches[0].schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            data = _mapped(file)
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            return list(reader)

    def _file(self) -> Any:  # noqa: ANN401  # what TemporaryFile returns has no name
        self._directory.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._directory)


def _mapped(file: Any) -> mmap.mmap:  # noqa: ANN401  # as above
    file.write(b"\0")  # nothing cannot be mapped
    file.flush()
    return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

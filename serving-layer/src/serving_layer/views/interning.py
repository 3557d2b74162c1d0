"""Strings as small integers, shared by every index of the process."""

import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NULL = -1
"""The code of a missing value."""


class Interner:
    """Give each distinct string one code, for the life of the process.

    Codes are only ever added, so an index built earlier stays valid. The batch view is loaded by a
    thread while the event loop appends, hence the lock.
    """

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []
        self._lock = threading.Lock()

    def code(self, text: str) -> int | None:
        """Return the code of a string, or None if no row ever held it."""
        return self._codes.get(text)

    def text(self, code: int) -> str | None:
        """Return the string of a code, None for ``NULL``."""
        return None if code == NULL else self._texts[code]

    def codes(self, column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int32]:
        """Return the codes of a string column, shape (n,); ``NULL`` where it is null."""
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        encoded = pc.dictionary_encode(column)
        table = np.array([*self._known(encoded.dictionary.to_pylist()), NULL], dtype=np.int32)
        indexes = pc.fill_null(encoded.indices, len(table) - 1).to_numpy(zero_copy_only=False)
        codes: npt.NDArray[np.int32] = table[indexes]
        return codes

    def _known(self, texts: Iterable[str]) -> list[int]:
        with self._lock:
            return [self._added(text) for text in texts]

    def _added(self, text: str) -> int:
        code = self._codes.get(text)
        if code is None:
            code = len(self._texts)
            self._texts.append(text)  # before the code is known: readers take no lock
            self._codes[text] = code
        return code


class Interners:
    """One interner per text column that queries filter by."""

    def __init__(self) -> None:
        self.user = Interner()
        self.event_type = Interner()
        self.status = Interner()
        self.source_ip = Interner()

"""Where events go: a protocol, and the plain file."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from event_generator.errors import OutputError

STANDARD_OUTPUT = "-"

Say = Callable[[str], None]
"""Tells the operator something, one line at a time."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the events that were handed over.

    Attributes:
        acknowledged: Stored by the other side.
        failed: Not stored, or not known to be stored when we had to stop.
        reason: Why events failed; empty if none did.
    """

    acknowledged: int
    failed: int
    reason: str = ""


class Sink(Protocol):
    """Takes events in order."""

    name: str

    def open(self) -> None:
        """Wait until events can be taken."""
        ...

    def send(self, keys: Sequence[str], values: Sequence[str]) -> None:
        """Take events; waits while there is no room for them."""
        ...

    def close(self) -> Delivery:
        """Wait until everything is delivered, then say what was."""
        ...


class FileSink:
    """Newline-delimited JSON in a file, or on standard output for ``-``."""

    def __init__(self, path: str) -> None:
        self.name = "standard output" if path == STANDARD_OUTPUT else path
        self._path = path
        self._file: BinaryIO | None = None
        self._written = 0

    def open(self) -> None:
        """Create the file, or empty it.

        Raises:
            OutputError: If that is not possible.
        """
        if self._path == STANDARD_OUTPUT:
            self._file = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
            return
        try:
            self._file = Path(self._path).open("wb")  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise OutputError(f"--output {self._path}: {error.strerror}") from error

    def send(self, keys: Sequence[str], values: Sequence[str]) -> None:  # noqa: ARG002 - protocol
        """Append one line per event.

        Raises:
            OutputError: If the file cannot take them.
        """
        if self._file is None:
            raise OutputError(f"{self.name} is not open")
        with self._failing_closed(self._file):
            self._file.write(("\n".join(values) + "\n").encode("ascii"))
        self._written += len(values)

    def close(self) -> Delivery:
        """Flush and close.

        Raises:
            OutputError: If the last events cannot be written.
        """
        if self._file is not None:
            with self._failing_closed(self._file):
                self._file.flush()
            self._close(self._file)
        return Delivery(self._written, 0)

    @contextmanager
    def _failing_closed(self, file: BinaryIO) -> Iterator[None]:
        """Close the file when a write fails: what it still buffers can never be written."""
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                self._close(file)
            raise OutputError(f"--output {self._path}: {error.strerror}") from error

    def _close(self, file: BinaryIO) -> None:
        self._file = None
        file.close()

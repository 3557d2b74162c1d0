"""Lines of a file or of standard input, once or for as long as it grows."""

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from streamguard_cli.errors import InputError

STANDARD_INPUT = "-"
MAX_LINE_BYTES = 64 * 1024
"""Of a longer line the rest is skipped; its beginning tells what it is."""

POLL_SECONDS = 0.2


def last_written(path: str) -> datetime:
    """Return when a file was written last; for standard input, now.

    Raises:
        InputError: If there is no such file.
    """
    if path == STANDARD_INPUT:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def read(path: str) -> Iterator[bytes]:
    """Yield the lines of a file, or of standard input until it ends, without line breaks.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        if path == STANDARD_INPUT:
            yield from _whole_lines(sys.stdin.buffer)
            return
        with Path(path).open("rb") as file:
            yield from _whole_lines(file)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def follow(path: str) -> Iterator[bytes | None]:
    """Yield the lines of a file and what is appended to it, for ever; None when it rests.

    A file that was replaced is read to its end, then the new one from its beginning; so is a
    file that was cut.

    Raises:
        InputError: If it cannot be read.
    """
    while True:
        try:
            with Path(path).open("rb") as file:
                yield from _growing_lines(file, Path(path))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES):
        yield line.rstrip(b"\r\n")
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)


def _growing_lines(file: BinaryIO, path: Path) -> Iterator[bytes | None]:
    """Yield lines until another file has the name, or this one was cut."""
    pending = b""
    while True:
        part = file.readline(MAX_LINE_BYTES)
        if part.endswith(b"\n"):
            yield (pending + part)[:MAX_LINE_BYTES].rstrip(b"\r\n")
            pending = b""
        elif part:
            pending = (pending + part)[:MAX_LINE_BYTES]
        elif _is_over(file, path):
            if pending:
                yield pending
            return
        else:
            yield None
            time.sleep(POLL_SECONDS)  # polling a file that another process writes


def _is_over(file: BinaryIO, path: Path) -> bool:
    here = os.fstat(file.fileno())
    if here.st_size < file.tell():
        return True
    try:
        there = path.stat()
    except FileNotFoundError:
        return False  # between two files of a rotation
    replaced = (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)
    return replaced and here.st_size == file.tell()

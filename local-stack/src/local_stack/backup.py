"""``make backup`` and ``make restore``: everything a stack keeps, in one file, taken at one moment.

The log, the lake and the stores refer to each other by offsets; a copy of one without the others
is a system that misses records. So they are taken together, while nothing runs.
"""

import gzip
import os
import shutil
import tarfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

from local_stack.errors import StackError
from local_stack.stack import Stack

LEFT_OUT = ("run", "logs")
"""Folders of a stack that say what runs now; they mean nothing elsewhere."""

_LEAST_COMPRESSION = 1
_READ_BYTES = 1024 * 1024


class BackupError(StackError):
    """A backup cannot be made, is damaged, or may not be put where it should go."""


def back_up(stack: Stack, archive: Path) -> int:
    """Write the stack's data into ``archive`` (tar, gzip) and return its bytes.

    The file appears under its name when it is whole.

    Raises:
        BackupError: the stack runs, has no data, or the file exists.
    """
    folder = stack.layout.stack_dir
    _ask_to_stop(stack)
    if not folder.is_dir():
        raise BackupError(f"{folder}: there is no data yet")
    if archive.exists():
        raise BackupError(f"{archive} exists; choose another name")
    draft = archive.with_name(f".{archive.name}.part")
    try:
        with tarfile.open(draft, "w:gz", compresslevel=_LEAST_COMPRESSION) as tar:
            for path in sorted(folder.iterdir()):
                if path.name not in LEFT_OUT:
                    tar.add(path, arcname=path.name)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        _check_whole(draft)
        draft.replace(archive)
    finally:
        draft.unlink(missing_ok=True)
    return archive.stat().st_size


def restore(stack: Stack, archive: Path) -> Path | None:
    """Put a backup in the place of the stack's data; return where the data before it went.

    The data in place is moved aside, never deleted.

    Raises:
        BackupError: the stack runs, or the file is damaged; then the data stays as it is.
    """
    folder = stack.layout.stack_dir
    _ask_to_stop(stack)
    _check_whole(archive)
    fresh = folder.with_name(f"{folder.name}.restoring")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(fresh, filter="data")
    except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise BackupError(f"{archive} cannot be unpacked: {error}") from error
    before = None
    if folder.exists():
        before = folder.with_name(f"{folder.name}.before-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
        folder.rename(before)
    fresh.rename(folder)
    return before


def _ask_to_stop(stack: Stack) -> None:
    if stack.is_running():
        raise BackupError("the stack runs: `make down` first, so that all of it is of one moment")


def _check_whole(archive: Path) -> None:
    """Read the file to its end, whose checksum gzip keeps.

    Raises:
        BackupError: it is damaged, cut off, no backup, or not there.
    """
    try:
        # Apart from tar, which takes a damaged header for the end.
        with gzip.open(archive) as content:
            while content.read(_READ_BYTES):
                pass
        with tarfile.open(archive, "r:gz") as tar:
            names = {Path(member.name).parts[0] for member in tar}
    except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
        raise BackupError(f"{archive} is no whole backup: {error}") from error
    if not names:
        raise BackupError(f"{archive} is empty")

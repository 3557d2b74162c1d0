"""Event files of a run as memory-mapped rows: converted once, then read at random.

Parquet is for scanning: fetching a hundred scattered rows of a million takes it hundreds of
milliseconds. Each immutable file is copied once to an uncompressed Arrow file in the serving
layer's own folder; the copies can be deleted at any time.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.views import BATCH_EVENT_SCHEMA, Manifest, ViewFile
from serving_layer.errors import DamagedFileError, MissingFileError
from serving_layer.views.pieces import Piece
from serving_layer.views.stored import STORED_SCHEMA, stored

ROWS_PER_BATCH = 131_072
"""Fetching scattered rows costs a fixed time for each batch that they lie in."""
_FORMAT = "2"


class EventFileCache:
    """Arrow copies of event files in one folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def rows(self, security: Path, file: ViewFile) -> Piece:
        """Return the rows of an event file, copying it if that was not done before.

        Args:
            security: Folder that the file's path is relative to.
            file: The file as the manifest lists it.

        Raises:
            RunError: If the file is missing, damaged or has other rows than listed.
        """
        source = security / file.path
        checked(source, file)
        copy = self._copy_path(source, file)
        if not copy.exists():
            self._convert(source, file, copy)
        try:
            return self._open(copy, file)
        except (pa.ArrowInvalid, OSError):
            # Our own copy is damaged (a full disk, a crash of the machine): make it again.
            copy.unlink(missing_ok=True)
            self._convert(source, file, copy)
            return self._open(copy, file)

    def retain(self, security: Path, files: list[ViewFile]) -> None:
        """Delete copies of all files but these. Open ones stay readable until closed."""
        kept = {
            self._copy_path(security / file.path, file)
            for file in files
            if (security / file.path).exists()
        }
        for copy in self._directory.glob("*.arrow*"):
            if copy not in kept:
                copy.unlink(missing_ok=True)

    def copies(self, security: Path, manifest: Manifest) -> list[Path]:
        """Return the copies of a run's event files that have rows.

        Raises:
            OSError: If one of the files is gone.
        """
        return [self._copy_path(security / f.path, f) for f in manifest.event_files if f.rows]

    def _copy_path(self, source: Path, file: ViewFile) -> Path:
        stat = source.stat()
        identity = f"{_FORMAT}|{file.path}|{file.rows}|{stat.st_size}|{stat.st_mtime_ns}"
        return self._directory / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.arrow"

    def _convert(self, source: Path, file: ViewFile, copy: Path) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        partial = copy.with_suffix(".arrow.partial")
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, STORED_SCHEMA) as writer:
            for batch in read(source, file, BATCH_EVENT_SCHEMA):
                writer.write_table(stored(batch))
        copied = _rows_of(partial)
        if copied != file.rows:
            raise DamagedFileError(file.path, f"holds {copied} rows, the manifest says {file.rows}")
        partial.replace(copy)

    def _open(self, copy: Path, file: ViewFile) -> Piece:
        reader = pa.ipc.open_file(pa.memory_map(str(copy)))
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        piece = Piece(batches, [False] * len(batches))
        if piece.rows != file.rows:
            raise pa.ArrowInvalid(f"{copy}: {piece.rows} rows")
        return piece


def checked(source: Path, file: ViewFile) -> None:
    """Make sure that a view file is there, whole, and holds the rows that are listed.

    Raises:
        RunError: Naming the file, if not.
    """
    if not source.is_file():
        raise MissingFileError(file.path, "the file is missing")
    try:
        rows = pq.read_metadata(source).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedFileError(file.path, _first_line(error)) from error
    if rows != file.rows:
        raise DamagedFileError(file.path, f"holds {rows} rows, the manifest says {file.rows}")


def read(source: Path, file: ViewFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a view file in a schema's columns and types, page checksums verified.

    Raises:
        RunError: Naming the file, if its bytes are not those that were written.
    """
    try:
        with pq.ParquetFile(source, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(ROWS_PER_BATCH, columns=schema.names):
                yield batch.select(schema.names).cast(schema)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DamagedFileError(file.path, _first_line(error)) from error


def _rows_of(path: Path) -> int:
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        return sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

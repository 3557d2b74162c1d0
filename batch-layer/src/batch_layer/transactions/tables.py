"""Read Delta tables without Spark: a page costs the files it lies in, at any depth."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from batch_layer.errors import InvalidRequestError, TableProtocolError
from batch_layer.transactions.errors import TableDamagedError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_PARTITION_PREFIX = "partition."


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a table: its rows and the values its folder stands for."""

    path: str
    rows: int
    partition: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a table. Rows are ordered by file path, then by place in the file."""

    root: str
    version: int
    schema: pa.Schema
    files: tuple[DataFile, ...]

    @property
    def row_count(self) -> int:
        """Rows of the table."""
        return sum(file.rows for file in self.files)

    def page(self, limit: int, offset: int) -> pa.Table:
        """Return rows ``[offset, offset + limit)``; reads only the row groups they lie in.

        Raises:
            TableDamagedError: If one of the files they lie in cannot be read.
        """
        pieces, first = [], 0
        for file in self.files:
            low, high = max(offset - first, 0), min(offset + limit - first, file.rows)
            if low < high:
                try:
                    pieces.append(self._read(file, low, high))
                except (OSError, pa.ArrowException) as error:
                    raise TableDamagedError(f"{self.root}/{file.path}: {error}") from error
            first += file.rows
        return pa.concat_tables(pieces) if pieces else self.schema.empty_table()

    def rows(self) -> pa.Table:
        """Return every row."""
        return self.page(self.row_count, 0)

    def _read(self, file: DataFile, low: int, high: int) -> pa.Table:
        with pq.ParquetFile(f"{self.root}/{file.path}") as parquet:
            wanted, start, skipped = [], 0, None
            for group in range(parquet.metadata.num_row_groups):
                end = start + parquet.metadata.row_group(group).num_rows
                if start < high and end > low:
                    wanted.append(group)
                    skipped = start if skipped is None else skipped
                start = end
            table = parquet.read_row_groups(wanted).slice(low - (skipped or 0), high - low)
        columns = [
            pa.array([file.partition[field.name]] * table.num_rows).cast(field.type)
            if field.name in file.partition
            else table[field.name].cast(field.type)
            for field in self.schema
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)


def snapshot(
    path: "Path", version: int | None = None, timestamp: "datetime | None" = None
) -> Snapshot:
    """Open a table, as it is now or as it was.

    Raises:
        InvalidRequestError: If it has no such version, or none that old.
        TableProtocolError: If its files cannot be read on their own.
        TableDamagedError: If its log cannot be read.
    """
    try:
        table = DeltaTable(str(path))
    except DeltaError as error:
        raise TableDamagedError(f"{path}: {error}") from error
    if timestamp is not None:
        version = _version_at(table, timestamp)
    if version is not None:
        try:
            table.load_as_version(version)
        except DeltaError as error:
            raise InvalidRequestError("version", f"the table has no version {version}") from error
    if table.protocol().min_reader_version > 1:
        raise TableProtocolError(f"{path} needs reader features that its files do not show")
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    files = (_data_file(str(path), action) for action in actions)
    return Snapshot(
        str(path),
        table.version(),
        pa.schema(table.schema().to_arrow()),
        tuple(sorted(files, key=lambda file: file.path)),
    )


def _version_at(table: DeltaTable, timestamp: "datetime") -> int:
    """Return the version that was the newest then; the library takes the first for any time."""
    moment = timestamp.timestamp() * 1000
    versions = [int(entry["version"]) for entry in table.history() if entry["timestamp"] <= moment]
    if not versions:
        raise InvalidRequestError("timestamp", f"the table has no version as old as {timestamp}")
    return max(versions)


def _data_file(root: str, action: dict[str, Any]) -> DataFile:
    path = unquote(action["path"])
    rows = action["num_records"]
    if rows is None:  # a writer without statistics
        rows = pq.read_metadata(f"{root}/{path}").num_rows
    partition = {
        name.removeprefix(_PARTITION_PREFIX): value
        for name, value in action.items()
        if name.startswith(_PARTITION_PREFIX)
    }
    return DataFile(path, rows, partition)


def row_count(path: "Path") -> int:
    """Return how many rows a table has, from its log."""
    return snapshot(path).row_count

"""Write transaction history as a Delta table, partitioned by event_date."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from contracts.transactions import CATEGORIES, TRANSACTION_SCHEMA
from event_generator.errors import OutputError
from event_generator.transactions.columns import BATCH_SIZE, Column, Source

SEED_SCHEMA = TRANSACTION_SCHEMA.append(pa.field("event_date", pa.date32()))
PROTOCOL = (1, 2)
"""Reader and writer version that every reader of this project gets right."""


@dataclass(slots=True)
class SeedSummary:
    """What was written.

    Attributes:
        records: Number of transactions.
        by_category: Number of transactions of each category.
        order_value: Sum of ``total_amount``.
        fraudulent: Number of fraudulent transactions.
        first_date, last_date: ISO dates; empty while there is nothing.
    """

    records: int = 0
    by_category: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CATEGORIES, 0))
    order_value: float = 0.0
    fraudulent: int = 0
    first_date: str = ""
    last_date: str = ""

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch; batches come in order of time."""
        self.records += batch.num_rows
        for entry in batch.column("category").value_counts().to_pylist():
            self.by_category[entry["values"]] += entry["counts"]
        self.order_value += pc.sum(batch.column("total_amount")).as_py()
        self.fraudulent += pc.sum(batch.column("is_fraudulent")).as_py()
        dates = batch.column("event_date")
        self.first_date = self.first_date or str(dates[0])
        self.last_date = str(dates[-1])

    def lines(self) -> list[str]:
        """Return the summary as text."""
        width = max(map(len, CATEGORIES))
        return [
            f"records              {self.records:,}",
            *(
                f"  {name:<{width}} {number:>12,}  {number / self.records:6.2%}"
                for name, number in self.by_category.items()
            ),
            f"date range           {self.first_date} to {self.last_date}",
            f"average order value  {self.order_value / self.records:,.2f}",
            f"fraud rate           {self.fraudulent / self.records:.4%}",
        ]


def record_batch(columns: dict[str, Column], rows: int) -> pa.RecordBatch:
    """Return the first ``rows`` rows of drawn columns under ``SEED_SCHEMA``."""
    arrays = []
    for name in TRANSACTION_SCHEMA.names:
        kind, values = TRANSACTION_SCHEMA.field(name).type, columns[name][:rows]
        if pa.types.is_timestamp(kind):
            arrays.append(pa.array(values, pa.int64()).cast(pa.timestamp("ms", "UTC")).cast(kind))
        else:
            arrays.append(pa.array(values, kind))
    times = arrays[TRANSACTION_SCHEMA.get_field_index("event_timestamp")]
    return pa.record_batch([*arrays, times.cast(pa.date32())], schema=SEED_SCHEMA)


def write_table(source: Source, records: int, path: Path) -> SeedSummary:
    """Replace the table at ``path`` in one commit; its earlier versions stay readable.

    Raises:
        OutputError: If the table cannot be written, or is not one that every reader gets right.
    """
    summary = SeedSummary()

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, records, BATCH_SIZE):
            batch = record_batch(
                source.draw(first // BATCH_SIZE).columns, min(BATCH_SIZE, records - first)
            )
            summary.add(batch)
            yield batch

    reader = pa.RecordBatchReader.from_batches(SEED_SCHEMA, batches())
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_deltalake(str(path), reader, mode="overwrite", partition_by=["event_date"])
    except (DeltaError, OSError, ValueError) as error:
        raise OutputError(f"DELTA_OUTPUT_PATH: {path} cannot be written: {error}") from error
    check_protocol(path)
    return summary


def check_protocol(path: Path) -> None:
    """Refuse a table with features that some readers ignore without saying so.

    Raises:
        OutputError: If the table has deletion vectors, column mapping or a newer protocol.
    """
    table = DeltaTable(str(path))
    protocol, settings = table.protocol(), table.metadata().configuration
    found = (protocol.min_reader_version, protocol.min_writer_version)
    unsafe = [
        name
        for name in ("delta.enableDeletionVectors", "delta.columnMapping.mode")
        if settings.get(name, "false") not in {"false", "none"}
    ]
    if found > PROTOCOL or unsafe:
        raise OutputError(f"{path}: protocol {found}, {unsafe}: not readable by every reader")

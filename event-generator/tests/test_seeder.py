from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from contracts.transactions import TRANSACTION_SCHEMA
from event_generator.clock import DAY_MS
from event_generator.errors import OutputError
from event_generator.transactions.columns import TransactionScenario, TransactionSource
from event_generator.transactions.hours import BusinessClock
from event_generator.transactions.seeder import check_protocol, write_table

START_MS = 1_750_032_000_000
RECORDS = 12_345
DAYS = 5


def source(seed: int = 1) -> TransactionSource:
    clock = BusinessClock(START_MS, DAYS * DAY_MS, RECORDS)
    return TransactionSource(
        TransactionScenario(seed=seed, clock=clock, batch_id="seed-1", written_ms=START_MS)
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lake") / "seed" / "transactions"
    write_table(source(), RECORDS, path)
    return path


def test_the_table_has_the_contracts_columns_and_all_records(table):
    read = DeltaTable(str(table)).to_pyarrow_table()

    assert read.num_rows == RECORDS
    assert read.column_names == [*TRANSACTION_SCHEMA.names, "event_date"]
    for field in TRANSACTION_SCHEMA:
        assert read.schema.field(field.name).type == field.type
        assert field.nullable or read.column(field.name).null_count == 0


def test_the_table_is_partitioned_by_date(table):
    assert DeltaTable(str(table)).metadata().partition_columns == ["event_date"]
    assert len(list(table.glob("event_date=*"))) == DAYS


def test_the_table_needs_no_reader_features(table):
    protocol = DeltaTable(str(table)).protocol()

    assert (protocol.min_reader_version, protocol.min_writer_version) <= (1, 2)
    assert not protocol.reader_features


def test_duckdb_and_pyarrow_read_the_same_totals(table, tmp_path):
    files = DeltaTable(str(table)).file_uris()
    summary = write_table(source(), RECORDS, tmp_path)
    with duckdb.connect() as connection:
        records, value, fraudulent, first, last = connection.execute(
            "SELECT count(*), sum(total_amount), count(*) FILTER (is_fraudulent),"
            " min(event_date)::text, max(event_date)::text"
            " FROM read_parquet($files, hive_partitioning = true)",
            {"files": files},
        ).fetchone()
    read = ds.dataset(files, partitioning="hive", partition_base_dir=str(table)).to_table()

    assert read.num_rows == records
    assert pc.sum(read["total_amount"]).as_py() == pytest.approx(value)
    assert pc.sum(read["is_fraudulent"]).as_py() == fraudulent
    assert (records, fraudulent) == (summary.records, summary.fraudulent)
    assert value == pytest.approx(summary.order_value)
    assert (first, last) == (summary.first_date, summary.last_date)
    assert sum(summary.by_category.values()) == records


def test_the_summary_names_what_was_written(tmp_path):
    text = "\n".join(write_table(source(), RECORDS, tmp_path).lines())

    assert "records              12,345" in text
    assert "electronics" in text
    assert "date range           2025-06-16 to 2025-06-20" in text
    assert "average order value" in text
    assert "fraud rate" in text


def test_seeding_again_replaces_the_table_and_keeps_its_history(tmp_path):
    write_table(source(), RECORDS, tmp_path)
    write_table(source(seed=2), RECORDS, tmp_path)

    assert DeltaTable(str(tmp_path)).to_pyarrow_table().num_rows == RECORDS
    assert DeltaTable(str(tmp_path), version=0).to_pyarrow_table().num_rows == RECORDS


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")

    with pytest.raises(OutputError, match="DELTA_OUTPUT_PATH"):
        write_table(source(), RECORDS, blocked / "table")


def test_a_table_with_deletion_vectors_is_refused(tmp_path):
    write_table(source(), RECORDS, tmp_path)
    DeltaTable(str(tmp_path)).alter.set_table_properties(
        {"delta.enableDeletionVectors": "true"}, raise_if_not_exists=False
    )

    with pytest.raises(OutputError, match="enableDeletionVectors"):
        check_protocol(tmp_path)

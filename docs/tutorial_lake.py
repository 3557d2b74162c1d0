"""Print the tutorial's raw record from the master dataset."""

from deltalake import DeltaTable

table = DeltaTable(".stack/lake/master/security-events").to_pyarrow_dataset()
for row in table.to_table().to_pylist():
    if row["value"] and b'"evt-tutorial-1"' in row["value"]:
        print({name: row[name] for name in ("topic", "partition", "offset", "ingest_date")})
        print(row["value"].decode())

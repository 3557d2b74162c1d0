"""The layout of stored rows: the contract's columns, the score's parts side by side in one."""

import numpy as np
import pyarrow as pa

from contracts.views import BATCH_EVENT_SCHEMA, COMPONENTS

PARTS = "components"
"""A list of ``len(COMPONENTS)`` floats, NaN where the event was not scored. Fetching one column
instead of ten is what makes a page of scattered anomalies cheap."""

COLD = ("event_id", "reasons", PARTS, "raw")
"""Columns that only rendering reads; the index holds the rest in its own arrays."""


def stored(rows: pa.Table | pa.RecordBatch) -> pa.Table:
    """Return rows of either layer's schema with the score's parts in one column."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    if table.num_rows == 0:
        values = np.empty(0)
    else:
        # As numbers, null is NaN.
        values = np.column_stack([table[name].to_numpy() for name in COMPONENTS]).ravel()
    parts = pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float64()), len(COMPONENTS))
    return table.drop_columns(list(COMPONENTS)).append_column(PARTS, parts)


STORED_SCHEMA = stored(BATCH_EVENT_SCHEMA.empty_table()).schema
"""Schema of the local copies of event files."""

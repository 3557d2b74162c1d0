"""Transactions as JSON: all 31 fields, null where one does not apply."""

import numpy as np
import orjson

from event_generator.batches import Batch
from event_generator.transactions.columns import Column, Source


class TransactionStream:
    """An endless stream of transactions, keyed by customer."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def batch(self, index: int) -> Batch:
        """Return the ``index``-th batch of transactions."""
        drawn = self._source.draw(index)
        rows = {name: _plain(name, column) for name, column in drawn.columns.items()}
        names = tuple(rows)
        values = [
            orjson.dumps(dict(zip(names, row, strict=True))).decode()
            for row in zip(*rows.values(), strict=True)
        ]
        labels = [
            (position, _label(rows, position, kind))
            for position, kind in enumerate(drawn.kinds.tolist())
            if kind is not None
        ]
        return Batch(rows["customer_id"], values, labels)


def _plain(name: str, column: Column) -> list[str]:
    if not name.endswith("_timestamp"):
        return list(column.tolist())
    if column.dtype == object and column[0] is None:
        return list(column.tolist())
    moments = column.astype(np.int64).astype("datetime64[ms]")
    return list(np.datetime_as_string(moments, unit="ms", timezone="UTC").tolist())


def _label(rows: dict[str, list[str]], position: int, kind: str) -> str:
    return orjson.dumps(
        {
            "transaction_id": rows["transaction_id"][position],
            "customer_id": rows["customer_id"][position],
            "timestamp": rows["event_timestamp"][position],
            "is_fraudulent": True,
            "kind": kind,
        }
    ).decode()

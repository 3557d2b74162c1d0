"""Which purchases leave their customers' habits."""

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from batch_layer.transactions.fraud_risk import INPUTS, fraud_risk

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

GROUPS = 4
"""Customers are judged in so many groups, each beside a population of its own; fixed, so that the
same transactions get the same risk on any number of machines."""

_SHOWN = (
    "transaction_id",
    "customer_id",
    "event_timestamp",
    "total_amount",
    "category",
    "city",
    "device_type",
    "channel",
    "payment_method",
)
_RESULT = (
    "transaction_id string, customer_id string, event_timestamp timestamp, total_amount double, "
    "category string, city string, device_type string, channel string, payment_method string, "
    "risk double, reasons array<string>"
)


def fraud_scoring(transactions: "DataFrame") -> "DataFrame":
    """Keep transactions of every status that are suspicious, with their risk and the reasons.

    Baselines begin with the first transaction that is read: a customer is judged after 10.
    """
    columns = dict.fromkeys((*_SHOWN, *INPUTS))
    return (
        transactions.select(*columns)
        .withColumn("group", F.pmod(F.xxhash64("customer_id"), F.lit(GROUPS)))
        .groupBy("group")
        .applyInArrow(_suspicious, _RESULT)
        .select(*_SHOWN, "risk", "reasons")
    )


def _suspicious(group: pa.Table) -> pa.Table:
    """Judge one group's transactions in order of event time; keep those at 0.5 or more."""
    ordered = group.sort_by([("event_timestamp", "ascending"), ("transaction_id", "ascending")])
    judged = fraud_risk(ordered)
    shown = ordered.select(_SHOWN)
    for name in judged.column_names:
        shown = shown.append_column(name, judged[name])
    return shown.filter(pc.greater_equal(shown["risk"], 0.5))

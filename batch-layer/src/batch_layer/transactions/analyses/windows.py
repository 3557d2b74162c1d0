"""The windowed aggregation that the stream keeps.

::

    event time  12:00  12:01  12:02  12:03  12:04  12:05  12:06
    windows       [----------------------------------)             5 minutes, start inclusive
                         [----------------------------------)      a new one every minute
"""

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from batch_layer.transactions.analyses.rows import is_fraud

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WINDOW = "5 minutes"
SLIDE = "1 minute"
GRACE = "10 minutes"
"""How late an event may be before the windows it belongs to are final."""


def windowed_aggregation(transactions: "DataFrame") -> "DataFrame":
    """Aggregate completed and pending transactions to one row per window and category.

    On a stream the caller sets the watermark; then the state holds only windows that are open.
    """
    return (
        transactions.where(F.col("transaction_status").isin("completed", "pending"))
        .groupBy(F.window("event_timestamp", WINDOW, SLIDE), "category")
        .agg(
            F.count("*").alias("txn_count"),
            F.sum("total_amount").alias("window_revenue"),
            F.avg("total_amount").alias("avg_order_value"),
            F.count_if(is_fraud()).alias("fraud_alerts"),
            F.approx_count_distinct("customer_id").alias("approx_unique_customers"),
        )
        .select(
            F.col("window.start").alias("window_start"),
            F.col("window.end").alias("window_end"),
            "category",
            "txn_count",
            "window_revenue",
            "avg_order_value",
            "fraud_alerts",
            "approx_unique_customers",
        )
    )

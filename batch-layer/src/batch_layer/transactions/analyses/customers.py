"""Who buys."""

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from batch_layer.transactions.analyses.rows import completed

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

VIP, HIGH_VALUE, MID_VALUE = 10_000, 5_000, 1_000
"""Lifetime value from which a customer belongs to each segment."""


def customer_segmentation(transactions: "DataFrame") -> "DataFrame":
    """Aggregate completed transactions to one row per customer, with a segment.

    A customer whose tier changed counts in the latest one known.
    """
    tier = F.max(
        F.when(F.col("customer_tier").isNotNull(), F.struct("event_timestamp", "customer_tier"))
    )
    totals = (
        completed(transactions)
        .groupBy("customer_id")
        .agg(
            tier["customer_tier"].alias("customer_tier"),
            F.sum("total_amount").alias("lifetime_value"),
            F.count("*").alias("total_transactions"),
            F.avg("total_amount").alias("avg_order_value"),
            F.to_date(F.max("event_timestamp")).alias("last_purchase_date"),
            F.to_date(F.min("event_timestamp")).alias("first_purchase_date"),
            F.countDistinct("category").alias("category_diversity"),
            F.count_if(F.col("channel") == "mobile_app").alias("mobile_orders"),
            F.count_if(F.col("channel") == "web").alias("web_orders"),
            F.count_if(F.col("channel") == "pos_in_store").alias("instore_orders"),
        )
    )
    return totals.withColumn("segment", _segment()).select(
        "customer_id",
        "customer_tier",
        "lifetime_value",
        "total_transactions",
        "avg_order_value",
        "last_purchase_date",
        "first_purchase_date",
        "category_diversity",
        "mobile_orders",
        "web_orders",
        "instore_orders",
        "segment",
    )


def _segment() -> "Column":
    value = F.col("lifetime_value")
    return (
        F.when(value >= VIP, "vip")
        .when(value >= HIGH_VALUE, "high_value")
        .when(value >= MID_VALUE, "mid_value")
        .when(F.col("total_transactions") == 1, "one_time")
        .otherwise("low_value")
    )

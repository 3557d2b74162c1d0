"""Revenue by category, by place, by payment, by hour."""

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from batch_layer.transactions.analyses.rows import completed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def revenue_by_category(transactions: "DataFrame") -> "DataFrame":
    """Aggregate completed transactions to one row per category."""
    return (
        completed(transactions)
        .groupBy("category")
        .agg(
            F.sum("total_amount").alias("total_revenue"),
            F.avg("total_amount").alias("avg_order_value"),
            F.count("*").alias("transaction_count"),
            F.sum("quantity").alias("total_units_sold"),
            F.avg("discount_percent").alias("avg_discount_pct"),
            F.countDistinct("customer_id").alias("unique_customers"),
        )
        .select(
            "category",
            "total_revenue",
            "avg_order_value",
            "transaction_count",
            "total_units_sold",
            "avg_discount_pct",
            "unique_customers",
        )
    )


def revenue_by_region(transactions: "DataFrame") -> "DataFrame":
    """Aggregate completed transactions to one row per region and city."""
    return (
        completed(transactions)
        .groupBy("region", "city")
        .agg(
            F.sum("total_amount").alias("total_revenue"),
            F.count("*").alias("transaction_count"),
            F.avg("total_amount").alias("avg_order_value"),
            F.countDistinct("store_id").alias("active_stores"),
            F.countDistinct("customer_id").alias("unique_customers"),
        )
        .select(
            "region",
            "city",
            "total_revenue",
            "transaction_count",
            "avg_order_value",
            "active_stores",
            "unique_customers",
        )
    )


def payment_analysis(transactions: "DataFrame") -> "DataFrame":
    """Aggregate completed transactions to one row per payment method and card network."""
    totals = (
        completed(transactions)
        .groupBy("payment_method", "card_network")
        .agg(
            F.count("*").alias("transaction_count"),
            F.sum("total_amount").alias("total_revenue"),
            F.avg("total_amount").alias("avg_transaction_value"),
            F.countDistinct("customer_id").alias("unique_customers"),
        )
    )
    # A few dozen rows: one partition is the right place for the grand total.
    everything = F.sum("total_revenue").over(Window.partitionBy(F.lit(0)))
    share = F.round(F.try_divide(F.col("total_revenue") * 100, everything), 2)
    return totals.withColumn("revenue_share_pct", share).select(
        "payment_method",
        "card_network",
        "transaction_count",
        "total_revenue",
        "avg_transaction_value",
        "unique_customers",
        "revenue_share_pct",
    )


def hourly_trends(transactions: "DataFrame") -> "DataFrame":
    """Aggregate completed transactions to one row per day and hour, UTC."""
    return (
        completed(transactions)
        .groupBy(
            F.to_date("event_timestamp").alias("event_date"),
            F.hour("event_timestamp").alias("event_hour"),
        )
        .agg(
            F.count("*").alias("transaction_count"),
            F.sum("total_amount").alias("hourly_revenue"),
            F.avg("total_amount").alias("avg_order_value"),
            F.countDistinct("customer_id").alias("unique_customers"),
            F.sum("quantity").alias("units_sold"),
        )
        .select(
            "event_date",
            "event_hour",
            "transaction_count",
            "hourly_revenue",
            "avg_order_value",
            "unique_customers",
            "units_sold",
        )
    )

"""Fraud, and how it is spread over the channels."""

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from batch_layer.transactions.analyses.rows import completed, is_fraud

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def fraud_analysis(transactions: "DataFrame") -> "DataFrame":
    """Aggregate fraudulent transactions of every status by category, region, channel, payment."""
    return (
        transactions.where(is_fraud())
        .groupBy("category", "region", "channel", "payment_method")
        .agg(
            F.count("*").alias("fraud_count"),
            F.sum("total_amount").alias("fraud_total_amount"),
            F.avg("fraud_score").alias("avg_fraud_score"),
            F.avg("total_amount").alias("avg_fraud_amount"),
            F.countDistinct("customer_id").alias("affected_customers"),
            F.sort_array(F.collect_set("city")).alias("affected_cities"),
        )
        .select(
            "category",
            "region",
            "channel",
            "payment_method",
            "fraud_count",
            "fraud_total_amount",
            "avg_fraud_score",
            "avg_fraud_amount",
            "affected_customers",
            "affected_cities",
        )
    )


def channel_performance(transactions: "DataFrame") -> "DataFrame":
    """Aggregate completed transactions to one row per channel."""
    totals = (
        completed(transactions)
        .groupBy("channel")
        .agg(
            F.count("*").alias("transaction_count"),
            F.sum("total_amount").alias("total_revenue"),
            F.avg("total_amount").alias("avg_order_value"),
            F.countDistinct("customer_id").alias("unique_customers"),
            F.avg("discount_percent").alias("avg_discount"),
            F.count_if(is_fraud()).alias("fraud_count"),
            F.avg("fraud_score").alias("avg_fraud_score"),
        )
    )
    rate = F.round(F.col("fraud_count") * 100 / F.col("transaction_count"), 4)
    return totals.withColumn("fraud_rate_pct", rate).select(
        "channel",
        "transaction_count",
        "total_revenue",
        "avg_order_value",
        "unique_customers",
        "avg_discount",
        "fraud_count",
        "avg_fraud_score",
        "fraud_rate_pct",
    )

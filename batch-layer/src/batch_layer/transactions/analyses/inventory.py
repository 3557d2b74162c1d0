"""How fast products leave the shelves."""

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from batch_layer.transactions.analyses.rows import completed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def inventory_velocity(transactions: "DataFrame") -> "DataFrame":
    """Aggregate completed transactions to one row per product.

    ``days_in_range`` counts first and last day of sale both, so a product sold on one day has 1.
    """
    totals = (
        completed(transactions)
        .groupBy("product_id", "product_name", "category", "sub_category", "brand")
        .agg(
            F.sum("quantity").alias("total_units_sold"),
            F.count("*").alias("order_count"),
            F.sum("total_amount").alias("total_revenue"),
            F.avg("unit_price").alias("avg_selling_price"),
            F.avg("discount_percent").alias("avg_discount"),
            F.countDistinct("region").alias("regions_sold_in"),
            F.countDistinct("store_id").alias("stores_sold_in"),
            F.to_date(F.min("event_timestamp")).alias("first_sale"),
            F.to_date(F.max("event_timestamp")).alias("last_sale"),
        )
        .withColumn("days_in_range", F.date_diff("last_sale", "first_sale") + 1)
    )
    velocity = F.round(F.col("total_units_sold") / F.col("days_in_range"), 2)
    return totals.withColumn("daily_velocity", velocity).select(
        "product_id",
        "product_name",
        "category",
        "sub_category",
        "brand",
        "total_units_sold",
        "order_count",
        "total_revenue",
        "avg_selling_price",
        "avg_discount",
        "regions_sold_in",
        "stores_sold_in",
        "first_sale",
        "last_sale",
        "days_in_range",
        "daily_velocity",
    )

"""Which transactions count, and what counts as fraud."""

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from contracts.transactions import FRAUD_SCORE_THRESHOLD

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def completed(transactions: "DataFrame") -> "DataFrame":
    """Keep completed transactions."""
    return transactions.where(F.col("transaction_status") == "completed")


def is_fraud() -> "Column":
    """Say whether a transaction is marked as fraud or scored above the threshold; never null."""
    return F.coalesce(F.col("is_fraudulent"), F.lit(False)) | F.coalesce(
        F.col("fraud_score") > FRAUD_SCORE_THRESHOLD, F.lit(False)
    )

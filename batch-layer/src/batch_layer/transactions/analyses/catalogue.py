"""Every analysis by its name, with the order its rows are returned in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from batch_layer.transactions.analyses.customers import customer_segmentation
from batch_layer.transactions.analyses.fraud import channel_performance, fraud_analysis
from batch_layer.transactions.analyses.fraud_scoring import fraud_scoring
from batch_layer.transactions.analyses.inventory import inventory_velocity
from batch_layer.transactions.analyses.revenue import (
    hourly_trends,
    payment_analysis,
    revenue_by_category,
    revenue_by_region,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

Direction = Literal["ascending", "descending"]


@dataclass(frozen=True, slots=True)
class Analysis:
    """An analysis and the order of its rows; the order is total, so two reads agree.

    Attributes:
        is_reported: Whether a full report holds it.
    """

    transform: "Callable[[DataFrame], DataFrame]"
    order: tuple[tuple[str, Direction], ...]
    is_reported: bool = True


FULL_REPORT = "full_report"
"""The analyses that are aggregations, in one batch."""

ANALYSES: dict[str, Analysis] = {
    "revenue_by_category": Analysis(
        revenue_by_category, (("total_revenue", "descending"), ("category", "ascending"))
    ),
    "revenue_by_region": Analysis(
        revenue_by_region,
        (("total_revenue", "descending"), ("region", "ascending"), ("city", "ascending")),
    ),
    "payment_analysis": Analysis(
        payment_analysis,
        (
            ("total_revenue", "descending"),
            ("payment_method", "ascending"),
            ("card_network", "ascending"),
        ),
    ),
    "customer_segmentation": Analysis(
        customer_segmentation, (("lifetime_value", "descending"), ("customer_id", "ascending"))
    ),
    "fraud_analysis": Analysis(
        fraud_analysis,
        (
            ("fraud_count", "descending"),
            ("fraud_total_amount", "descending"),
            ("category", "ascending"),
            ("region", "ascending"),
            ("channel", "ascending"),
            ("payment_method", "ascending"),
        ),
    ),
    "hourly_trends": Analysis(
        hourly_trends, (("event_date", "ascending"), ("event_hour", "ascending"))
    ),
    "channel_performance": Analysis(
        channel_performance, (("total_revenue", "descending"), ("channel", "ascending"))
    ),
    "inventory_velocity": Analysis(
        inventory_velocity,
        (
            ("daily_velocity", "descending"),
            ("product_id", "ascending"),
            ("product_name", "ascending"),
        ),
    ),
    "fraud_scoring": Analysis(
        fraud_scoring, (("risk", "descending"), ("transaction_id", "ascending")), is_reported=False
    ),
}

NAMES = (*ANALYSES, FULL_REPORT)


def analyses_of(analysis_type: str) -> tuple[str, ...]:
    """Return what a batch of this type computes.

    Examples:
        >>> analyses_of("fraud_analysis")
        ('fraud_analysis',)
        >>> len(analyses_of("full_report"))
        8
    """
    if analysis_type != FULL_REPORT:
        return (analysis_type,)
    return tuple(name for name, analysis in ANALYSES.items() if analysis.is_reported)

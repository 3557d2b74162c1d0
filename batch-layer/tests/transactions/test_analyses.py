from datetime import UTC, date, datetime

import pytest

from batch_layer.transactions.analyses.catalogue import ANALYSES, FULL_REPORT, analyses_of
from batch_layer.transactions.analyses.windows import windowed_aggregation

pytestmark = pytest.mark.integration

# Eight sales small enough to add up by hand.
SALES = [
    {"customer_id": "ann", "category": "electronics", "total_amount": 6000.0, "quantity": 1,
         "discount_percent": 0.0, "channel": "web", "region": "north", "city": "Oslo", "store_id": None,
         "payment_method": "credit_card", "card_network": "visa", "customer_tier": "silver",
         "product_id": "p1", "product_name": "Phone", "sub_category": "phones", "brand": "A",
         "unit_price": 6000.0, "event_timestamp": "2026-03-01T09:10:00Z", "fraud_score": 0.1},
    {"customer_id": "ann", "category": "electronics", "total_amount": 5400.0, "quantity": 1,
         "discount_percent": 10.0, "channel": "mobile_app", "region": "north", "city": "Oslo", "store_id": None,
         "payment_method": "credit_card", "card_network": "visa", "customer_tier": "gold",
         "product_id": "p1", "product_name": "Phone", "sub_category": "phones", "brand": "A",
         "unit_price": 6000.0, "event_timestamp": "2026-03-03T09:40:00Z", "fraud_score": 0.8},
    {"customer_id": "bob", "category": "grocery", "total_amount": 40.0, "quantity": 4,
         "discount_percent": 0.0, "channel": "pos_in_store", "region": "south", "city": "Rome", "store_id": "s1",
         "payment_method": "upi", "card_network": None, "customer_tier": None,
         "product_id": "p2", "product_name": "Rice", "sub_category": "dry", "brand": "B",
         "unit_price": 10.0, "event_timestamp": "2026-03-01T09:59:59Z", "fraud_score": None},
    {"customer_id": "cem", "category": "grocery", "total_amount": 18.0, "quantity": 2,
         "discount_percent": None, "channel": "pos_in_store", "region": "south", "city": "Rome", "store_id": "s2",
         "payment_method": "upi", "card_network": None, "customer_tier": "bronze",
         "product_id": "p2", "product_name": "Rice", "sub_category": "dry", "brand": "B",
         "unit_price": 9.0, "event_timestamp": "2026-03-01T10:00:00Z", "fraud_score": 0.0},
    {"customer_id": "cem", "category": "books", "total_amount": 42.0, "quantity": 3,
         "discount_percent": 30.0, "channel": "web", "region": "east", "city": "Pune", "store_id": None,
         "payment_method": "upi", "card_network": None, "customer_tier": "bronze",
         "product_id": "p3", "product_name": "Novel", "sub_category": "fiction", "brand": "C",
         "unit_price": 20.0, "event_timestamp": "2026-03-02T10:30:00Z", "is_fraudulent": True,
         "fraud_score": 0.9},
    # Not completed: only fraud and windows see these.
    {"customer_id": "dee", "category": "books", "total_amount": 20.0, "quantity": 1, "channel": "web",
         "region": "east", "city": "Agra", "payment_method": "upi", "transaction_status": "chargeback",
         "event_timestamp": "2026-03-02T11:00:00Z", "is_fraudulent": True, "fraud_score": 0.7},
    {"customer_id": "eve", "category": "toys", "total_amount": 500.0, "quantity": 1, "channel": "web",
         "transaction_status": "failed", "event_timestamp": "2026-03-02T11:00:00Z", "fraud_score": 0.7,
         "is_fraudulent": None},
    {"customer_id": "fay", "category": "toys", "total_amount": 7.0, "quantity": 1, "channel": "web",
         "transaction_status": "pending", "event_timestamp": "2026-03-02T11:00:00Z", "fraud_score": None},
]  # fmt: skip

D1, D2, D3 = (date(2026, 3, day) for day in (1, 2, 3))

EXPECTED = {
    "revenue_by_category": [
        ("electronics", 11400.0, 5700.0, 2, 2, 5.0, 1),
        ("grocery", 58.0, 29.0, 2, 6, 0.0, 2),
        ("books", 42.0, 42.0, 1, 3, 30.0, 1),
    ],
    "revenue_by_region": [
        ("north", "Oslo", 11400.0, 2, 5700.0, 0, 1),
        ("south", "Rome", 58.0, 2, 29.0, 2, 2),
        ("east", "Pune", 42.0, 1, 42.0, 0, 1),
    ],
    "payment_analysis": [
        ("credit_card", "visa", 2, 11400.0, 5700.0, 1, 99.13),
        ("upi", None, 3, 100.0, 100 / 3, 2, 0.87),
    ],
    "customer_segmentation": [
        ("ann", "gold", 11400.0, 2, 5700.0, D3, D1, 1, 1, 1, 0, "vip"),
        ("cem", "bronze", 60.0, 2, 30.0, D2, D1, 2, 0, 1, 1, "low_value"),
        ("bob", None, 40.0, 1, 40.0, D1, D1, 1, 0, 0, 1, "one_time"),
    ],
    "fraud_analysis": [
        ("books", "east", "web", "upi", 2, 62.0, 0.8, 31.0, 2, ["Agra", "Pune"]),
        ("electronics", "north", "mobile_app", "credit_card", 1, 5400.0, 0.8, 5400.0, 1, ["Oslo"]),
    ],
    "hourly_trends": [
        (D1, 9, 2, 6040.0, 3020.0, 2, 5),
        (D1, 10, 1, 18.0, 18.0, 1, 2),
        (D2, 10, 1, 42.0, 42.0, 1, 3),
        (D3, 9, 1, 5400.0, 5400.0, 1, 1),
    ],
    "channel_performance": [
        ("web", 2, 6042.0, 3021.0, 2, 15.0, 1, 0.5, 50.0),
        ("mobile_app", 1, 5400.0, 5400.0, 1, 10.0, 1, 0.8, 100.0),
        ("pos_in_store", 2, 58.0, 29.0, 2, 0.0, 0, 0.0, 0.0),
    ],
    "inventory_velocity": [
        ("p2", "Rice", "grocery", "dry", "B", 6, 2, 58.0, 9.5, 0.0, 1, 2, D1, D1, 1, 6.0),
        ("p3", "Novel", "books", "fiction", "C", 3, 1, 42.0, 20.0, 30.0, 1, 0, D2, D2, 1, 3.0),
        ("p1", "Phone", "electronics", "phones", "A", 2, 2, 11400.0, 6000.0, 5.0, 1, 0, D1, D3, 3,
         0.67),
    ],
}  # fmt: skip


def ordered(rows, analysis):
    """Sort rows as the API does; nulls last."""
    result = list(rows)
    for column, direction in reversed(analysis.order):
        result.sort(
            key=lambda row: (row[column] is None, row[column]), reverse=direction == "descending"
        )
    return result


@pytest.fixture(scope="module")
def sales(transactions):
    table = transactions(*SALES).cache()
    yield table
    table.unpersist()


def approximately(row):
    return tuple(pytest.approx(cell) if isinstance(cell, float) else cell for cell in row)


@pytest.mark.parametrize("name", EXPECTED)
def test_rows_are_those_added_up_by_hand(name, sales):
    analysis = ANALYSES[name]

    rows = ordered(analysis.transform(sales).collect(), analysis)

    assert [tuple(row) for row in rows] == [approximately(row) for row in EXPECTED[name]]


def test_every_analysis_of_the_report_has_hand_checked_rows():
    assert set(EXPECTED) == set(analyses_of(FULL_REPORT))


SEGMENTS = {
    "vip is inclusive": ([10_000.0], "vip"),
    "below vip": ([9_999.99], "high_value"),
    "high is inclusive": ([2_500.0, 2_500.0], "high_value"),
    "one purchase of mid value": ([1_000.0], "mid_value"),
    "one small purchase": ([999.99], "one_time"),
    "two small purchases": ([1.0, 1.0], "low_value"),
}


def test_segments(transactions):
    sales = transactions(
        *(
            {"customer_id": customer, "total_amount": amount}
            for customer, (amounts, _) in SEGMENTS.items()
            for amount in amounts
        )
    )

    rows = ANALYSES["customer_segmentation"].transform(sales).collect()

    assert {row.customer_id: row.segment for row in rows} == {
        customer: segment for customer, (_, segment) in SEGMENTS.items()
    }


def test_windows_slide_by_a_minute_and_hold_completed_and_pending(sales):
    rows = windowed_aggregation(sales).where("category = 'toys'").orderBy("window_start").collect()

    assert [tuple(row)[2:] for row in rows] == [("toys", 1, 7.0, 7.0, 0, 1)] * 5
    starts = [row.window_start.astimezone(UTC) for row in rows]
    assert starts == [datetime(2026, 3, 2, 10, minute, tzinfo=UTC) for minute in range(56, 60)] + [
        datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
    ]
    assert {(row.window_end - row.window_start).total_seconds() for row in rows} == {300.0}


def test_an_empty_table_gives_empty_results(transactions, sales):
    for analysis in ANALYSES.values():
        assert analysis.transform(sales.limit(0)).collect() == []

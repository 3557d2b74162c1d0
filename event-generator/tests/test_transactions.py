import json
from collections import Counter, defaultdict
from datetime import UTC, datetime

import pytest

from contracts import transactions as contract
from contracts.transactions import Transaction
from event_generator.clock import DAY_MS, EventClock
from event_generator.draws import generator
from event_generator.errors import ConfigurationError
from event_generator.transactions import catalogue
from event_generator.transactions import vocabulary as words
from event_generator.transactions.columns import (
    BATCH_SIZE,
    TransactionScenario,
    TransactionSource,
)
from event_generator.transactions.hours import BusinessClock
from event_generator.transactions.stream import TransactionStream

MONDAY_MS = 1_750_032_000_000
SATURDAY_MS = MONDAY_MS + 5 * DAY_MS


def stream(start_ms: int = MONDAY_MS, **changes: object) -> TransactionStream:
    clock = EventClock.at_rate(start_ms, 10_000)
    return TransactionStream(
        TransactionSource(TransactionScenario(**{"seed": 1, "clock": clock, **changes}))
    )


def rows_of(source: TransactionStream, batches: int = 1) -> list[dict]:
    return [json.loads(v) for index in range(batches) for v in source.batch(index).values]


def by_weight(names, weights) -> dict[str, float]:
    return dict(zip(names, weights, strict=True))


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return rows_of(stream(), 8)


def test_the_dates_of_these_tests_are_what_they_say():
    assert datetime.fromtimestamp(MONDAY_MS / 1000, UTC).strftime("%A %H:%M") == "Monday 00:00"


def test_the_same_seed_gives_the_same_bytes():
    assert stream(seed=4).batch(2) == stream(seed=4).batch(2)


def test_runs_that_differ_share_no_transaction_id(rows):
    later = rows_of(stream(MONDAY_MS + 1))

    assert not {row["transaction_id"] for row in rows} & {row["transaction_id"] for row in later}


def test_every_transaction_has_the_31_fields_of_the_contract(rows):
    assert all(list(row) == contract.TRANSACTION_SCHEMA.names for row in rows)
    assert len(rows[0]) == 31
    for row in rows[:BATCH_SIZE]:
        assert Transaction.model_validate(row).model_extra == {}


def test_transactions_are_keyed_by_customer():
    batch = stream().batch(0)

    assert batch.keys == [json.loads(value)["customer_id"] for value in batch.values]


def test_totals_follow_from_price_quantity_and_discount(rows):
    for row in rows:
        due = row["quantity"] * row["unit_price"] * (1 - row["discount_percent"] / 100)
        assert row["total_amount"] == pytest.approx(due, abs=0.0051)
        assert row["tax_amount"] == pytest.approx(0.09 * row["total_amount"], abs=0.0051)


@pytest.mark.parametrize(
    ("field", "names", "weights"),
    [
        ("payment_method", contract.PAYMENT_METHODS, words.PAYMENT_WEIGHTS),
        ("channel", contract.CHANNELS, words.CHANNEL_WEIGHTS),
        ("customer_tier", contract.TIERS, words.TIER_WEIGHTS),
        ("region", words.REGIONS, words.REGION_WEIGHTS),
        ("transaction_status", contract.STATUSES, words.STATUS_WEIGHTS),
        ("is_fraudulent", (True, False), (0.02, 0.98)),
    ],
)
def test_values_keep_their_shares(rows, assert_shares, field, names, weights):
    assert_shares((row[field] for row in rows), by_weight(names, weights))


@pytest.mark.parametrize(
    ("start_ms", "boost"),
    [
        pytest.param(MONDAY_MS, {"electronics": 1.3}, id="weekday"),
        pytest.param(SATURDAY_MS, {"grocery": 1.4, "clothing": 1.4}, id="weekend"),
    ],
)
def test_categories_keep_their_shares_and_the_days_boost(assert_shares, start_ms, boost):
    weights = by_weight(contract.CATEGORIES, words.CATEGORY_WEIGHTS)
    boosted = {name: weight * boost.get(name, 1) for name, weight in weights.items()}

    assert_shares((row["category"] for row in rows_of(stream(start_ms), 4)), boosted)


def test_quantities_keep_their_shares(rows, assert_shares):
    quantities = [min(row["quantity"], 3) for row in rows]

    assert max(row["quantity"] for row in rows) == 5
    assert_shares(quantities, {1: 0.7, 2: 0.2, 3: 0.1})


def test_discounts_keep_their_shares(rows, assert_shares):
    bands = []
    for row in rows:
        discount = row["discount_percent"]
        assert discount == 0 or 5 <= discount <= 15 or 20 <= discount <= 50
        bands.append((discount >= 5) + (discount >= 20))

    assert_shares(bands, {0: 0.6, 1: 0.3, 2: 0.1})


def test_prices_lie_in_their_categorys_range(rows):
    prices = defaultdict(list)
    for row in rows:
        prices[row["category"]].append(row["unit_price"])

    for category, (low, high) in words.PRICE_RANGES.items():
        assert low <= min(prices[category])
        assert max(prices[category]) <= high


def test_the_fraud_score_follows_fraud(rows):
    for row in rows:
        low, high = (0.7, 1.0) if row["is_fraudulent"] else (0.0, 0.15)
        assert low <= row["fraud_score"] <= high


def test_only_what_applies_is_there(rows):
    for row in rows:
        assert (row["card_network"] is not None) == row["payment_method"].endswith("_card") & (
            row["payment_method"] != "gift_card"
        )
        assert (row["store_id"] is not None) == (row["channel"] == "pos_in_store")
        online = row["channel"] in {"web", "mobile_app", "marketplace"}
        assert (row["device_type"] is not None) == (row["ip_address"] is not None) == online


def test_a_city_lies_in_its_region(rows):
    towns = {region: {city for city, _, _ in cities} for region, cities in words.CITIES.items()}

    assert all(row["city"] in towns[row["region"]] for row in rows)


def test_fraud_is_labelled():
    batch = stream().batch(0)
    fraudulent = [row for row in rows_of(stream()) if row["is_fraudulent"]]

    labels = [json.loads(line) for _, line in batch.labels]
    assert labels == [
        {
            "transaction_id": row["transaction_id"],
            "customer_id": row["customer_id"],
            "timestamp": row["event_timestamp"],
            "is_fraudulent": True,
            "kind": "fraud",
        }
        for row in fraudulent
    ]


def test_small_catalogues_work():
    rows = rows_of(stream(customers=1, products=10, stores=1))

    assert {row["customer_id"] for row in rows} == {"CUST-000001"}
    assert {row["category"] for row in rows} == set(contract.CATEGORIES)
    assert {row["store_id"] for row in rows} == {None, "STORE-001"}


def test_fewer_products_than_categories_are_refused():
    with pytest.raises(ConfigurationError, match="NUM_PRODUCTS"):
        catalogue.products(9)


def test_business_hours_are_busier():
    times = BusinessClock(MONDAY_MS, 7 * DAY_MS, 70_000).times(0, 70_000)
    hours = Counter((times // 3_600_000 % 24).tolist())

    assert times[0] == MONDAY_MS
    assert times[-1] < MONDAY_MS + 7 * DAY_MS
    assert (times[1:] >= times[:-1]).all()
    assert hours[12] / hours[3] == pytest.approx(10, rel=0.05)


def test_generators_of_different_streams_are_independent():
    assert generator(1, 0).random() != generator(1, 1).random()

import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from contracts import transactions as contract
from contracts.transactions import Transaction
from event_generator.__main__ import main
from event_generator.clock import DAY_MS, EventClock
from event_generator.transactions.columns import BATCH_SIZE, TransactionScenario
from event_generator.transactions.fraud_cases import KINDS
from event_generator.transactions.hours import BusinessClock
from event_generator.transactions.realistic import RealisticSource
from event_generator.transactions.stream import TransactionStream

START_MS = 1_767_225_600_000
BATCHES = 6
SPAN_MS = 30 * DAY_MS


def scenario(**changes: object) -> TransactionScenario:
    clock = BusinessClock(START_MS, SPAN_MS, BATCHES * BATCH_SIZE)
    return TransactionScenario(**{"seed": 1, "clock": clock, "customers": 300, **changes})


@pytest.fixture(scope="module")
def drawn():
    """Rows of thirty days and the kind of fraud of each."""
    stream = TransactionStream(RealisticSource(scenario()))
    rows, kinds = [], []
    for index in range(BATCHES):
        batch = stream.batch(index)
        labels = {place: json.loads(line)["kind"] for place, line in batch.labels}
        rows += [json.loads(value) for value in batch.values]
        kinds += [labels.get(place) for place in range(len(batch))]
    return rows, kinds


def test_every_transaction_is_one_of_the_contract(drawn):
    rows, _ = drawn

    assert all(list(row) == contract.TRANSACTION_SCHEMA.names for row in rows)
    for row in rows[:BATCH_SIZE]:
        assert Transaction.model_validate(row).model_extra == {}
        assert (row["store_id"] is not None) == (row["channel"] == "pos_in_store")
        assert (row["device_type"] is not None) == (row["ip_address"] is not None)
        assert (row["card_network"] is not None) == (
            row["payment_method"] in {"credit_card", "debit_card"}
        )


def test_the_same_seed_gives_the_same_bytes():
    batches = [TransactionStream(RealisticSource(scenario(seed=4))).batch(2) for _ in range(2)]

    assert batches[0] == batches[1]


def test_labels_and_rows_agree_and_every_kind_comes(drawn):
    rows, kinds = drawn

    assert [row["is_fraudulent"] for row in rows] == [kind is not None for kind in kinds]
    assert set(kinds) == {None, *KINDS}
    assert 0.015 < sum(row["is_fraudulent"] for row in rows) / len(rows) < 0.025


def test_the_fraud_score_says_nothing(drawn):
    rows, kinds = drawn
    scores = np.array([row["fraud_score"] for row in rows])
    is_fraud = np.array([kind is not None for kind in kinds])

    honest, fraud = scores[~is_fraud], np.sort(scores[is_fraud])
    # Largest distance between the two distributions; chance alone gives less in 999 of 1,000 runs.
    distance = np.abs(
        np.searchsorted(fraud, np.sort(honest)) / len(fraud) - np.arange(len(honest)) / len(honest)
    ).max()
    assert distance < 1.95 * np.sqrt(1 / len(fraud) + 1 / len(honest))


def test_customers_keep_habits_and_fraud_leaves_them(drawn):
    rows, kinds = drawn
    honest = [row for row, kind in zip(rows, kinds, strict=True) if kind is None]
    cities, devices = defaultdict(Counter), defaultdict(Counter)
    for row in honest:
        cities[row["customer_id"]][row["city"]] += 1
        devices[row["customer_id"], row["channel"]][row["device_type"]] += 1
    usual_city = {customer: count.most_common(1)[0][0] for customer, count in cities.items()}

    def away(some):
        return np.mean([usual_city.get(row["customer_id"]) != row["city"] for row in some])

    assert np.mean([c.most_common(1)[0][1] / c.total() for c in devices.values()]) > 0.9
    fraud = [row for row, kind in zip(rows, kinds, strict=True) if kind is not None]
    assert away(fraud) > 3 * away(honest)


def test_a_stolen_card_is_used_several_times_within_the_hour(drawn):
    rows, kinds = drawn
    uses = defaultdict(list)
    for row, kind in zip(rows, kinds, strict=True):
        if kind == "stolen_card_burst":
            uses[row["customer_id"]].append(np.datetime64(row["event_timestamp"][:-1]))

    gaps = np.concatenate([np.diff(times) for times in uses.values()])
    assert np.mean(gaps < np.timedelta64(1, "h")) > 0.6


def test_a_batch_of_little_event_time_has_fraud_too():
    source = RealisticSource(scenario(clock=EventClock.at_rate(START_MS, 1_000)))

    assert 50 < sum(kind is not None for kind in source.draw(0).kinds) < 150


def test_small_catalogues_and_the_command_line_work(tmp_path, monkeypatch):
    output, labels = tmp_path / "sales.ndjson", tmp_path / "labels.ndjson"
    for name, value in {"FRAUD_MODE": "realistic", "NUM_CUSTOMERS": "1", "NUM_PRODUCTS": "10",
                        "NUM_STORES": "1", "EVENTS_PER_SECOND": "0"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    arguments = ["transactions", "--count", "6000", "--seed", "1"]
    assert main([*arguments, "--output", str(output), "--labels", str(labels)]) == 0

    assert {json.loads(line)["kind"] for line in labels.read_text().splitlines()} <= set(KINDS)
    assert len(output.read_text().splitlines()) == 6000

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from batch_layer.transactions.analyses.catalogue import ANALYSES, analyses_of
from batch_layer.transactions.fraud_risk import fraud_risk

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 40


def history() -> list[dict]:
    """Forty days of twelve customers who buy groceries for 20 at home, and one stolen card."""
    rng = random.Random(3)
    sales = []
    for day in range(DAYS):
        for number in range(12):
            hour = 9 + (number + rng.randrange(3)) % 9
            moment = START + timedelta(days=day, hours=hour, minutes=rng.randrange(60))
            sales.append(sale(f"c{number}", moment, rng.uniform(17, 30), f"town-{number % 3}"))
    night = START + timedelta(days=DAYS, hours=3)
    sales += [
        sale("c5", night + timedelta(minutes=minute), 900.0, "elsewhere", "electronics", "android")
        for minute in range(4)
    ]
    return sales


def sale(customer, moment, amount, city, category="grocery", device="desktop") -> dict:
    return {
        "customer_id": customer,
        "event_timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "total_amount": round(amount, 2),
        "city": city,
        "category": category,
        "device_type": device,
    }


def table(sales: list[dict]) -> pa.Table:
    rows = [
        row
        | {
            "transaction_id": f"t{number}",
            "event_timestamp": datetime.fromisoformat(row["event_timestamp"]),
        }
        for number, row in enumerate(sales)
    ]
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def judged():
    return fraud_risk(table(history()))


def test_a_stolen_card_is_suspicious_and_ordinary_purchases_are_not(judged):

    risk = judged["risk"].to_pylist()
    assert min(risk[-4:]) >= 0.5
    assert sum(one >= 0.5 for one in risk[:-4]) == 0


def test_evidence_grows_over_a_series_and_fades(judged):
    later = [*history(), sale("c5", START + timedelta(days=DAYS, hours=15), 20.0, "town-2")]

    risk = judged["risk"].to_pylist()
    assert risk[-3] > risk[-4]
    assert fraud_risk(table(later))["risk"].to_pylist()[-1] < 0.5


def test_reasons_name_what_is_unusual_for_the_customer(judged):

    first, second = judged["reasons"].to_pylist()[-4:-2]
    assert set(first) >= {
        "unusual amount: 900.00", "unusual category: electronics", "unusual city: elsewhere"
    }  # fmt: skip
    assert "unusual purchases of the same customer shortly before" in second
    assert judged["reasons"].to_pylist()[0] == []


def test_what_comes_again_is_judged_once():
    sales = table(history())
    twice = pa.concat_tables([sales, sales.slice(sales.num_rows - 1)])

    assert fraud_risk(twice)["risk"].to_pylist()[-1] == 0.0


@pytest.mark.parametrize("amount", [0.0, -5.0, 1e300, None])
def test_any_amount_of_the_contract_is_judged(amount):
    rows = table(history()).to_pylist()
    rows[-1]["total_amount"] = amount

    assert 0 <= fraud_risk(pa.Table.from_pylist(rows))["risk"].to_pylist()[-1] <= 1


@pytest.mark.integration
def test_the_analysis_reads_neither_score_nor_label(transactions):
    sales = history()
    rng = random.Random(1)
    permuted = [
        row | {"fraud_score": rng.random(), "is_fraudulent": rng.random() < 0.5} for row in sales
    ]
    ids = {"transaction_id": None}

    def rows_of(data):
        numbered = [
            row | ids | {"transaction_id": f"00000000-0000-4000-8000-{number:012d}"}
            for number, row in enumerate(data)
        ]
        found = ANALYSES["fraud_scoring"].transform(transactions(*numbered)).collect()
        return sorted(map(tuple, found))

    suspicious = rows_of(sales)
    assert {row[1] for row in suspicious} == {"c5"}
    assert rows_of(permuted) == suspicious


@pytest.mark.integration
def test_the_table_is_read_alike_elsewhere(transactions, read_elsewhere, tmp_path):
    numbered = [
        row | {"transaction_id": f"00000000-0000-4000-8000-{number:012d}"}
        for number, row in enumerate(history())
    ]
    table_path = tmp_path / "fraud_scoring"
    suspicious = ANALYSES["fraud_scoring"].transform(transactions(*numbered))
    suspicious.write.format("delta").save(str(table_path))

    assert set(read_elsewhere(table_path, "customer_id")) == {"c5"}
    for column in ("risk", "reasons"):
        assert read_elsewhere(table_path, column), column


def test_a_full_report_holds_the_eight_aggregations():
    assert len(analyses_of("full_report")) == 8
    assert "fraud_scoring" not in analyses_of("full_report")

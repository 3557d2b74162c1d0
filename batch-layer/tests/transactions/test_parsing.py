import json

import pytest
from pyspark.sql.types import DoubleType, IntegerType, StringType, TimestampType

from batch_layer.transactions.parsing import malformed, parsed, valid
from batch_layer.transactions.schema import COLUMNS, REQUIRED, TRANSACTION_TYPE
from contracts.topics import MAX_RECORD_BYTES
from contracts.transactions import TRANSACTION_SCHEMA, Transaction

pytestmark = pytest.mark.integration


def test_sparks_schema_is_the_contracts():
    assert TRANSACTION_TYPE.names == TRANSACTION_SCHEMA.names == list(COLUMNS)
    assert len(COLUMNS) == 31
    assert TRANSACTION_TYPE["event_timestamp"].dataType == TimestampType()
    assert TRANSACTION_TYPE["quantity"].dataType == IntegerType()
    assert TRANSACTION_TYPE["total_amount"].dataType == DoubleType()
    assert TRANSACTION_TYPE["city"].dataType == StringType()
    required = {name for name, field in Transaction.model_fields.items() if field.is_required()}
    assert set(REQUIRED) == required


def test_a_good_record_becomes_a_row(kafka_rows, wire):
    transaction = wire(event_timestamp="2026-03-02T23:30:00.123456+02:00", unknown={"kept": "out"})

    (row,) = valid(parsed(kafka_rows([json.dumps(transaction).encode()]))).collect()

    assert row.transaction_id == transaction["transaction_id"]
    assert row.event_date.isoformat() == "2026-03-02"
    assert row.event_timestamp.microsecond == 123456
    assert row.event_timestamp.timestamp() == pytest.approx(1772487000.123456)
    assert row.processing_timestamp is not None
    assert (row.quantity, row.total_amount, row.is_fraudulent) == (2, 90.0, False)
    assert (row.source_topic, row.source_partition, row.source_offset) == ("t", 0, 0)


BAD_FIELDS = {
    "quantity-text": ({"quantity": "many"}, "quantity: is not of type int"),
    "quantity-fraction": ({"quantity": 1.5}, "quantity: is not of type int"),
    "quantity-zero": ({"quantity": 0}, "quantity: is below 1"),
    "quantity-null": ({"quantity": None}, "quantity: is missing"),
    "optional-wrong-type": ({"is_fraudulent": "perhaps"}, "is_fraudulent: is not of type boolean"),
    "optional-object": ({"tax_amount": {"a": 1}}, "tax_amount: is not of type double"),
    "price-negative": ({"unit_price": -1}, "unit_price: is below 0"),
    "price-nan": ({"unit_price": float("nan")}, ""),
    "price-nan-text": ({"unit_price": "NaN"}, "unit_price: "),
    "discount": ({"discount_percent": 101}, "discount_percent: is above 100"),
    "fraud-score": ({"fraud_score": 1.1}, "fraud_score: is above 1"),
    "category": ({"category": "weapons"}, "category: not one of"),
    "status": ({"transaction_status": "lost"}, "transaction_status: not one of"),
    "tier": ({"customer_tier": "wood"}, "customer_tier: not one of"),
    "id": ({"transaction_id": "17"}, "transaction_id: is not a UUID"),
    "currency": ({"currency": "euro"}, "currency: is not an ISO 4217 code"),
    "customer-empty": ({"customer_id": ""}, "customer_id: is empty"),
    "customer-missing": ({"customer_id": None}, "customer_id: is missing"),
    "time-words": ({"event_timestamp": "yesterday"}, "event_timestamp: is not an ISO-8601"),
    "time-number": ({"event_timestamp": 1772487000}, "event_timestamp: is not an ISO-8601"),
    "time-no-such-day": ({"event_timestamp": "2026-02-30T00:00:00Z"}, "event_timestamp: is not"),
    "time-far-past": ({"event_timestamp": "1900-01-01T00:00:00Z"}, "event_timestamp: is out of"),
    "time-far-future": ({"event_timestamp": "9999-01-01T00:00:00Z"}, "event_timestamp: is out of"),
}
BAD_BYTES = {
    "empty": (b"", "no value", "empty"),
    "tombstone": (None, "no value", "empty"),
    "not-json": (b"hello", "not a JSON object", "undecodable"),
    "array": (b"[1, 2]", "not a JSON object", "undecodable"),
    "cut-off": (b'{"transaction_id": "x"', "not a JSON object", "undecodable"),
    "broken": (b'{"transaction_id": }', "not valid JSON", "invalid"),
    "not-utf8": (b'{"a": "\xff\xfe"}', "not UTF-8", "undecodable"),
    "too-large": (b'{"a": "' + b"x" * MAX_RECORD_BYTES + b'"}', "larger than", "too_large"),
}


def test_one_bad_record_costs_only_itself_and_says_what_is_wrong(kafka_rows, wire):
    good = json.dumps(wire()).encode()
    bad = [json.dumps(wire(**fields)).encode() for fields, _ in BAD_FIELDS.values()]
    bad += [value for value, _, _ in BAD_BYTES.values()]
    values = [piece for value in bad for piece in (value, good)]

    records = parsed(kafka_rows(values)).cache()
    kept = {row.source_offset for row in valid(records).collect()}
    found = {row.source_offset: row for row in malformed(records).collect()}
    records.unpersist()

    assert kept == set(range(1, len(values), 2))
    assert set(found) == set(range(0, len(values), 2))
    expected = [(name, message, "invalid") for name, (_, message) in BAD_FIELDS.items()]
    expected += [(name, message, reason) for name, (_, message, reason) in BAD_BYTES.items()]
    for index, (name, message, reason) in enumerate(expected):
        row = found[index * 2]
        assert row.error.startswith(message), (name, row.error)
        if "nan" not in name:
            assert row.reason == reason, (name, row.error)
        assert row.value == (None if bad[index] is None else bytearray(bad[index]))


# Judged on the way in only: the type allows any time, and JSON's writer makes NaN a number.
STRICTER = {"time-number", "time-far-past", "time-far-future", "price-nan", "price-nan-text"}


@pytest.mark.parametrize("name", [name for name in BAD_FIELDS if name not in STRICTER])
def test_the_contract_refuses_the_same(name, wire):
    fields, _ = BAD_FIELDS[name]
    with pytest.raises(ValueError, match=next(iter(fields))):
        Transaction.model_validate_json(json.dumps(wire(**fields)))

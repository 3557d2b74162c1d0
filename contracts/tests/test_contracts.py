from contracts.alerts import ALERT_SCHEMA, Alert
from contracts.transactions import TRANSACTION_SCHEMA, Transaction
from contracts.views import FEATURE_SCHEMA, FEATURES, USER_SCHEMA


def test_the_transaction_s_columns_are_its_fields():
    assert TRANSACTION_SCHEMA.names == list(Transaction.model_fields)
    assert len(TRANSACTION_SCHEMA) == 31


def test_a_column_is_nullable_where_its_field_is_optional():
    optional = {name for name, field in Transaction.model_fields.items() if not field.is_required()}

    assert {field.name for field in TRANSACTION_SCHEMA if field.nullable} == optional


def test_features_are_28_and_31_with_the_user():
    assert len(FEATURES) == 28
    assert len(FEATURE_SCHEMA) == 31
    assert USER_SCHEMA.names[:31] == FEATURE_SCHEMA.names


def test_an_alert_is_camel_case_on_the_wire_and_reads_back():
    alert = Alert(
        alert_id="a1",
        user_id="alice",
        alert_type="RAPID_ACTIVITY",
        description="51 events in 5 minutes",
        timestamp=1_750_000_000_000,
        severity="MEDIUM",
        event_count=51,
        rule_id="rapid-activity",
        rule_version="1",
        first_seen=1_749_999_900_000,
        last_seen=1_750_000_000_000,
    )

    wire = alert.to_wire()

    assert b'"alertId":"a1"' in wire
    assert b'"sourceIps":[]' in wire
    assert Alert.model_validate_json(wire) == alert


def test_alert_columns_are_its_fields_and_coordinates():
    coordinates = ["topic", "partition", "offset"]

    assert ALERT_SCHEMA.names == [*coordinates, *Alert.model_fields]

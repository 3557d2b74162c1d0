import pytest

from contracts.alerts import ALERT_SCHEMA, Alert
from contracts.errors import DamagedManifestError
from contracts.transactions import TRANSACTION_SCHEMA, Transaction
from contracts.views import FEATURE_SCHEMA, FEATURES, USER_SCHEMA, Manifest


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


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "EOF", id="empty"),
        pytest.param(b'{"run_id": "r1', "EOF", id="cut"),
        pytest.param(b"\0" * 40, "Invalid JSON", id="zeros"),
        pytest.param(b"\xff\xfe", "Invalid JSON", id="no-text"),
        pytest.param(b'{"schema_version": 2}', "schema_version: ", id="another-version"),
        pytest.param(b'{"run_id": 7}', "run_id: ", id="wrong-type"),
    ],
)
def test_a_damaged_manifest_is_refused_with_its_field(data, problem):
    with pytest.raises(DamagedManifestError, match=problem):
        Manifest.parse(data)

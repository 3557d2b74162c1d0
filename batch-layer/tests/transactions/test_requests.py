from datetime import date

import pytest
from pydantic import ValidationError

from batch_layer.errors import InvalidRequestError
from batch_layer.kafka import TopicOffsets
from batch_layer.transactions.offsets import resolve
from batch_layer.transactions.requests import BatchRunRequest

KAFKA = {"analysisType": "fraud_analysis", "topic": "transactions-stream"}
LAKE = {"analysisType": "fraud_analysis", "startDate": "2026-03-01", "endDate": "2026-03-02"}


def test_kafka_form():
    request = BatchRunRequest.model_validate(
        KAFKA | {"startOffset": {"0": 5}, "endOffset": "latest"}
    )
    request.check_form()

    assert request.start_offset == {0: 5}
    assert request.end_offset == "latest"


def test_lake_form():
    filters = {"category": "books", "quantity": 2, "is_fraudulent": True, "unit_price": 3,
               "event_date": "2026-03-01", "event_timestamp": "2026-03-01T00:00:00Z"}  # fmt: skip
    request = BatchRunRequest.model_validate(LAKE | {"filters": filters})
    request.check_form()

    assert (request.start_date, request.end_date) == (date(2026, 3, 1), date(2026, 3, 2))
    assert request.checked_filters() == filters


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"topic": "t"}, "analysisType", id="no-analysis"),
        pytest.param(KAFKA | {"analysisType": "profit"}, "analysisType", id="unknown-analysis"),
        pytest.param(KAFKA | {"topic": 7}, "topic", id="topic-type"),
        pytest.param(KAFKA | {"topic": "a b"}, "topic", id="topic-name"),
        pytest.param(KAFKA | {"startOffset": "latest"}, "startOffset", id="start-word"),
        pytest.param(KAFKA | {"startOffset": 5}, "startOffset", id="start-number"),
        pytest.param(KAFKA | {"startOffset": {"0": -1}}, "startOffset", id="start-negative"),
        pytest.param(KAFKA | {"startOffset": {"a": 1}}, "startOffset", id="start-partition"),
        pytest.param(KAFKA | {"startOffset": {}}, "startOffset", id="start-empty"),
        pytest.param(KAFKA | {"endOffset": "earliest"}, "endOffset", id="end-word"),
        pytest.param(KAFKA | {"endOffset": {"0": 1.5}}, "endOffset", id="end-fraction"),
        pytest.param(KAFKA | {"endOffset": {"0": True}}, "endOffset", id="end-boolean"),
        pytest.param(LAKE | {"startDate": "1.3.2026"}, "startDate", id="date-form"),
        pytest.param(LAKE | {"startDate": 20260301}, "startDate", id="date-type"),
        pytest.param(LAKE | {"endDate": "2026-02-30"}, "endDate", id="no-such-day"),
        pytest.param(LAKE | {"columns": []}, "columns", id="unknown-field"),
    ],
)
def test_a_body_of_the_wrong_shape_names_the_field(body, field):
    with pytest.raises(ValidationError) as caught:
        BatchRunRequest.model_validate(body)

    assert caught.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"analysisType": "fraud_analysis"}, "topic", id="no-form"),
        pytest.param(KAFKA | {"startDate": "2026-03-01"}, "startDate", id="both-forms"),
        pytest.param(KAFKA | {"filters": {}}, "filters", id="kafka-with-filters"),
        pytest.param(LAKE | {"endOffset": "latest"}, "endOffset", id="lake-with-offsets"),
        pytest.param(LAKE | {"startDate": None}, "startDate", id="no-start"),
        pytest.param(LAKE | {"endDate": None}, "endDate", id="no-end"),
        pytest.param(LAKE | {"endDate": "2026-02-01"}, "endDate", id="date-order"),
    ],
)
def test_a_form_that_does_not_hold_together_names_the_field(body, field):
    request = BatchRunRequest.model_validate(body)

    with pytest.raises(InvalidRequestError) as caught:
        request.check_form()

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("colour", "red"),
        ("category", 5),
        ("category", None),
        ("category", ["books"]),
        ("quantity", "2"),
        ("quantity", True),
        ("quantity", 2**40),
        ("unit_price", "cheap"),
        ("is_fraudulent", 1),
        ("event_date", "March"),
        ("event_timestamp", "2026-03-01"),
    ],
)
def test_a_filter_that_no_row_can_match_names_the_column(column, value):
    request = BatchRunRequest.model_validate(LAKE | {"filters": {column: value}})

    with pytest.raises(InvalidRequestError) as caught:
        request.checked_filters()

    assert caught.value.field == f"filters.{column}"


HELD = TopicOffsets(first={0: 10, 1: 0}, next={0: 20, 1: 5})


def test_partitions_not_named_are_read_from_end_to_end():
    assert resolve(HELD, {0: 15}, {1: 3}) == ({0: 15, 1: 0}, {0: 20, 1: 3})
    assert resolve(HELD, None, "latest") == ({0: 10, 1: 0}, {0: 20, 1: 5})


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        pytest.param({2: 0}, None, "startOffset.2", id="unknown-partition"),
        pytest.param({0: 9}, None, "startOffset.0", id="deleted-by-retention"),
        pytest.param({0: 21}, None, "startOffset.0", id="start-beyond-the-end"),
        pytest.param(None, {1: 6}, "endOffset.1", id="end-beyond-the-end"),
        pytest.param({0: 15}, {0: 14}, "endOffset.0", id="end-before-start"),
    ],
)
def test_an_impossible_range_names_the_partition(start, end, field):
    with pytest.raises(InvalidRequestError) as caught:
        resolve(HELD, start, end)

    assert caught.value.field == field

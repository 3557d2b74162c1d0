"""The judge of ``make eval-assistant`` sees what is wrong, on its own."""

import importlib.util
import sys
from pathlib import Path

import pytest

from genai_assistant.clock import now_ms
from genai_assistant.testing import small_world

FILE = Path(__file__).parents[2] / "benchmarks" / "answer_judge.py"
spec = importlib.util.spec_from_file_location("answer_judge", FILE)
judge = sys.modules["answer_judge"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(judge)

RECORD = {
    "kind": "activity",
    "record": {"user": "ann", "events": 1200, "share": 0.4567, "last_event": 1_600_000_000_000},
}


def reason(text):
    return judge.unsupported(judge.Sentence(text, ("E1",)), [RECORD], ["ann", "anna", "10.0.0.7"])


def test_an_answer_is_split_by_its_citations():
    text = 'User "a. b" has 0.5 of it [E1] [E2]. And more [E3].\n\nThis cites nothing.'

    assert [(one.text, one.cites) for one in judge.sentences(text)] == [
        ('User "a. b" has 0.5 of it', ("E1", "E2")),
        ("And more", ("E3",)),
        ("This cites nothing", ()),
    ]


def test_what_a_record_holds_is_supported():
    assert reason('User "ann" has 1,200 events, 0.46 of all, at 2020-09-13 12:26:40 UTC') is None


@pytest.mark.parametrize(
    "text",
    [
        'User "anna" has 1,200 events',
        "User anna has 1,200 events",
        "There are 1,201 events",
        "There are 0.47 of them",
        "It was at 2020-09-13 12:26:41 UTC",
        "It came from 10.0.0.7",
        "It is technique T1110",
    ],
)
def test_what_no_record_holds_is_not(text):
    assert reason(text)


def test_evidence_that_differs_from_the_seeded_records_is_false():
    world = small_world(now_ms())
    anomaly = {**world.anomalies[0], "anomaly_score": 0.1}
    totals = {"totalEvents": len(world.events) + 1, "totalAnomalies": len(world.anomalies)}
    evidence = [
        {"id": "E1", "kind": "anomaly", "record": anomaly},
        {"id": "E2", "kind": "totals", "record": totals},
    ]

    assert [one.split(":")[0] for one in judge.false_records(evidence, world)] == [
        "E1 anomaly.anomaly_score",
        "E2 totals.totalEvents",
    ]

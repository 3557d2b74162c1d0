import asyncio
import time

import pytest

from genai_assistant.analyst import Analyst, analysis_id
from genai_assistant.assistant import Assistant
from genai_assistant.errors import UnreachableError
from genai_assistant.metrics import Metrics
from genai_assistant.retrieval.corpus import load_corpus
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.serving_client import ServingClient, bounded_client
from genai_assistant.settings import Settings
from genai_assistant.testing import ModelServer, alert_of


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    index = ThreatIndex(tmp_path_factory.mktemp("index"), load_corpus())
    yield index
    index.close()


def work(index, url, *, rounds=1, before=lambda number: None, **settings):
    """Run a fresh analyst, as after a restart; return how many analyses each round wrote."""

    async def run():
        metrics = Metrics()
        async with bounded_client(url, 5) as http:
            serving = ServingClient(http, metrics)
            assistant = Assistant(serving, index, metrics)
            analyst = Analyst(assistant, serving, metrics, Settings(_env_file=None, **settings))
            written = []
            for number in range(rounds):
                before(number)
                written.append(await analyst.work())
            return written

    return asyncio.run(run())


def writes(serving):
    return sum(request.startswith("POST") for request in serving.requests)


def test_a_serious_alert_gets_one_analysis_from_evidence(index, serving):
    assert work(index, serving.url, rounds=2) == [1, 0]

    analysis = serving.world.analyses[analysis_id("al_00aa11bb22cc")]
    assert analysis["alert_id"] == "al_00aa11bb22cc"
    assert analysis["mode"] == "evidence"
    assert analysis["techniques"] == ["T1110"]
    assert "SUSPICIOUS_LOGIN_PATTERN" in analysis["summary"]
    assert analysis["recommended_actions"]


def test_what_the_analyst_costs_is_told_under_its_own_name(open_client, tmp_path):
    with ModelServer() as server:
        client = open_client(
            analyst_enabled=True,
            analyst_interval_seconds=0.05,
            data_dir=tmp_path,
            openai_base_url=server.base_url,
            openai_model="gpt-4o-mini",
        )
        deadline = time.monotonic() + 30
        while not (spent := client.get("/spending").json()["by_asker"]):
            assert time.monotonic() < deadline, "the analyst spent nothing"
            time.sleep(0.05)  # between two looks at background work

    assert list(spent) == ["analyst"]


def test_a_restart_writes_nothing_twice(index, serving):
    work(index, serving.url)
    work(index, serving.url)

    assert writes(serving) == 1


def test_low_and_medium_alerts_are_left_alone(index, serving):
    serving.world.alerts[0]["severity"] = "MEDIUM"

    assert work(index, serving.url) == [0]


def test_the_budget_of_a_minute_holds_and_the_most_severe_come_first(index, serving):
    failed = serving.world.events[:1]
    serving.world.alerts = [
        alert_of(f"al_{number:04d}", failed, severity="CRITICAL" if number > 100 else "HIGH")
        for number in range(103)
    ]

    assert work(index, serving.url, rounds=2, analyst_per_minute=5) == [5, 0]
    assert {analysis_id("al_0101"), analysis_id("al_0102")} <= serving.world.analyses.keys()


def test_older_alerts_beyond_the_first_page_are_reached(index, serving, monkeypatch):
    monkeypatch.setattr("genai_assistant.analyst.PAGE", 20)
    failed = serving.world.events[:1]
    serving.world.alerts = [alert_of(f"al_{number:04d}", failed) for number in range(45)]

    assert sum(work(index, serving.url, rounds=1, analyst_per_minute=1000)) == 45


def test_a_backlog_is_worked_off_over_restarts_and_minutes(index, serving, monkeypatch):
    monkeypatch.setattr("genai_assistant.analyst.PAGE", 20)
    failed = serving.world.events[:1]
    serving.world.alerts = [alert_of(f"al_{number:04d}", failed) for number in range(50)]

    written = [sum(work(index, serving.url, analyst_per_minute=18)) for _ in range(4)]

    assert written == [18, 18, 14, 0]


def test_an_alert_with_an_old_event_time_is_found_by_a_sweep(index, serving, monkeypatch):
    monkeypatch.setattr("genai_assistant.analyst.PAGE", 2)
    monkeypatch.setattr("genai_assistant.analyst.SWEEP_ROUNDS", 3)
    failed = serving.world.events[:1]
    alerts = [alert_of(f"al_{number:04d}", failed) for number in range(6)]
    serving.world.alerts = alerts[:5]

    def late(double_round):
        if double_round == 1:
            serving.world.alerts = alerts

    assert work(index, serving.url, rounds=4, before=late) == [5, 0, 0, 1]


def test_a_serving_layer_that_is_away_is_an_error_to_wait_for(index):
    with pytest.raises(UnreachableError):
        work(index, "http://127.0.0.1:9")

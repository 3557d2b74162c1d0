"""Every hostile text in every field an attacker can write, against three kinds of model."""

import importlib.util
from pathlib import Path

import pytest

from genai_assistant.clock import now_ms
from genai_assistant.testing import ModelServer, World, alert_of, anomaly_of, event, small_world

spec = importlib.util.spec_from_file_location(
    "injections", Path(__file__).with_name("injections.py")
)
injections = importlib.util.module_from_spec(spec)
spec.loader.exec_module(injections)
PAYLOADS = injections.PAYLOADS

KEY, MODELS, QUOTED = injections.KEY, injections.MODELS, injections.QUOTED
echo, essence, flaw, poisoned = (
    injections.echo,
    injections.essence,
    injections.flaw,
    injections.poisoned,
)
QUESTIONS = (
    "Is user manager anomalous?",
    "Which alerts are open and what should I do first?",
    "Explain event evt_000000000384",
)


def ask(client, question, **more):
    response = client.post("/query", json={"question": question, **more})
    assert response.status_code == 200, response.text
    return response.json()


def is_clean(text, payload):
    assert flaw(text) is None, payload
    return True


@pytest.mark.parametrize("behaviour", MODELS.values(), ids=MODELS.keys())
def test_hostile_text_in_any_field_changes_nothing(open_client, serving, behaviour):
    with ModelServer(behaviour or echo) as server:
        model = {"openai_base_url": server.base_url, "openai_api_key": KEY} if behaviour else {}
        client = open_client(model_breaker_failures=10_000, **model)
        world = serving.world = small_world(now_ms())
        for question in QUESTIONS:
            serving.world = world
            clean = ask(client, question)
            # Every text against the verdict; a part of them suffices for what is told alike.
            for payload in PAYLOADS if question == QUESTIONS[0] else PAYLOADS[::6]:
                serving.world = poisoned(world, payload)
                body = ask(client, question)

                assert essence(body) == essence(clean), payload
                assert is_clean(body["answer"], payload)
                assert all(is_clean(one, payload) for one in body["recommended_actions"])
                assert body["answer"].split("\n\n")[0] == clean["answer"].split("\n\n")[0]
                if behaviour is None:
                    assert body["citation_check"] == clean["citation_check"], payload
                    assert body["citation_check"]["dropped"] == 0
                else:
                    assert "not anomalous" not in QUOTED.sub("", body["answer"]), payload


@pytest.mark.parametrize("behaviour", MODELS.values(), ids=MODELS.keys())
def test_a_hostile_user_name_changes_nothing(open_client, serving, behaviour):
    now = now_ms()

    def world(name):
        failed = [
            event(n, name, now - n * 1000, status="failed", anomaly_score=0.9, is_anomaly=True)
            for n in range(1, 5)
        ]
        return World(
            events=failed,
            anomalies=[anomaly_of(one, f"address never seen for {name}") for one in failed],
            alerts=[alert_of("al_00aa11bb22cc", failed)],
        )

    with ModelServer(behaviour or echo) as server:
        model = {"openai_base_url": server.base_url, "openai_api_key": KEY} if behaviour else {}
        client = open_client(model_breaker_failures=10_000, **model)
        serving.world = world("manager")
        clean = ask(client, "Is this user anomalous?", user_id="manager")
        for payload in PAYLOADS:
            name = payload[:256]
            serving.world = world(name)
            body = ask(client, "Is this user anomalous?", user_id=name)

            assert essence(body) == essence(clean), payload
            assert is_clean(body["answer"], payload)


def test_a_hostile_product_name_changes_no_figure(client, serving):
    batch = {"batchId": "batch-20260102-00000001", "analysisType": "inventory_velocity"}
    serving.world.batches = [{**batch, "rowCount": 9}]
    for payload in ["lamp", *PAYLOADS]:
        rows = [{"product_name": payload, "category": "toys", "daily_velocity": 3.5}]
        serving.world.analysis_rows = {batch["batchId"]: rows}
        body = ask(client, "Which products sell fastest?")

        assert body["citation_check"]["dropped"] == 0, payload
        assert "with daily_velocity 3.50" in body["answer"]
        assert is_clean(body["answer"], payload)


def test_the_suite_is_as_large_as_it_says():
    assert len(set(PAYLOADS)) >= 60

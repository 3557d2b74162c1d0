"""What limits a model: budgets, a circuit breaker, pseudonyms, room in the prompt."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from genai_assistant.breaker import Breaker
from genai_assistant.budget import Budget
from genai_assistant.callers import asker
from genai_assistant.errors import ModelError
from genai_assistant.pseudonyms import Pseudonyms, is_local
from genai_assistant.settings import Settings
from genai_assistant.testing import Fault, ModelServer, completion, echo_statements

QUESTION = "Is user manager anomalous?"
PRICED = {"openai_model": "gpt-4o-mini"}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def ask(client, **more):
    response = client.post("/query", json={"question": QUESTION, **more})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_spent_day_degrades_to_the_evidence_answer(open_client, server, tmp_path):
    given = {"openai_base_url": server.base_url, "data_dir": tmp_path, **PRICED}
    client = open_client(model_daily_dollars=0.0001, **given)

    assert ask(client, asked_by="ana")["mode"] == "gpt-4o-mini"
    body = ask(client, asked_by="ben")

    assert body["mode"] == "degraded: model budget of the day is spent"
    assert body["verdict"] == "anomalous"
    assert len(server.requests) == 1
    spending = client.get("/spending").json()
    assert spending["by_asker"] == {"ana": pytest.approx(0.000228)}
    assert spending["total_dollars"] == pytest.approx(0.000228)


def test_one_askers_budget_leaves_the_others_theirs(open_client, server, tmp_path):
    given = {"openai_base_url": server.base_url, "data_dir": tmp_path, **PRICED}
    client = open_client(model_daily_dollars_per_user=0.0001, **given)
    ask(client, asked_by="ana")

    assert ask(client, asked_by="ana")["mode"].startswith("degraded: model budget of this user")
    assert ask(client, asked_by="ben")["mode"] == "gpt-4o-mini"


def test_a_question_with_a_key_is_on_the_budget_of_the_key(open_client, server, serving, tmp_path):
    serving.key = key = "sgk_0123456789ab_secret"
    given = {"openai_base_url": server.base_url, "data_dir": tmp_path, **PRICED}
    client = open_client(model_daily_dollars_per_user=0.0001, **given)
    basic = base64.b64encode(f"anybody:{key}".encode()).decode()

    def mode(asked_by, **headers):
        body = {"question": QUESTION, "asked_by": asked_by}
        return client.post("/query", json=body, headers=headers).json()["mode"]

    assert mode("ana", Authorization=f"Bearer {key}") == "gpt-4o-mini"
    spent = "degraded: model budget of this user and day is spent"
    assert mode("ben", Authorization=f"Bearer {key}") == spent
    serving.key = None  # the double reads no other header than the one above
    assert mode("eve", **{"X-API-Key": key}) == spent
    assert mode("eve", Authorization=f"Basic {basic}") == spent
    assert list(client.get("/spending").json()["by_asker"]) == ["key 0123456789ab"]


def test_a_key_that_is_made_up_spends_nothing(open_client, server, serving):
    serving.key = "sgk_0123456789ab_secret"
    client = open_client(openai_base_url=server.base_url, **PRICED)
    headers = {"Authorization": "Bearer sgk_ffffffffffff_made-up"}
    body = client.post("/query", json={"question": QUESTION}, headers=headers).json()

    assert body["mode"] == "degraded: batch-ml not available"
    assert server.requests == []


@pytest.mark.parametrize("name", ["analyst", "key 0123456789ab"])
def test_nobody_spends_under_a_name_that_is_not_theirs_to_take(name):
    assert asker(name) is None
    assert asker("ana") == "ana"


@pytest.mark.parametrize("budget", ["model_daily_dollars", "model_daily_dollars_per_user"])
def test_a_budget_without_a_price_is_refused_at_start(budget):
    given = {"_env_file": None, "openai_base_url": "https://api.example.com/v1", budget: 5}
    with pytest.raises(ValidationError, match="ASSISTANT_MODEL_PRICES"):
        Settings(openai_model="new-model", **given)

    assert Settings(openai_model="new-model", model_prices={"new-model": (0, 0)}, **given).has_price
    assert not Settings(_env_file=None, openai_model="new-model").has_price  # and no budget


def test_more_askers_than_are_counted_share_one_budget(tmp_path, monkeypatch):
    monkeypatch.setattr("genai_assistant.budget.MAX_ASKERS", 1)
    budget = Budget(tmp_path / "spending.json", None, 1.0)
    budget.spend("ana", 0.1)
    budget.spend("ben", 1.0)

    with pytest.raises(ModelError, match="this user"):
        budget.check("eve")


def test_spending_is_kept_over_a_restart_and_ends_with_the_day(tmp_path):
    clock = [1_790_000_000_000]
    path = tmp_path / "spending.json"
    Budget(path, 1.0, None, lambda: clock[0]).spend("ana", 1.5)
    again = Budget(path, 1.0, None, lambda: clock[0])

    with pytest.raises(ModelError):
        again.check("ana")
    clock[0] += 86_400_000
    again.check("ana")
    assert again.total() == 0


def test_damaged_spending_starts_at_zero(tmp_path):
    path = tmp_path / "spending.json"
    path.write_text("[]")

    assert Budget(path, 1.0, None).total() == 0


def test_a_model_that_keeps_failing_is_left_alone(open_client, server):
    server.behaviour = lambda body: Fault(status=401)
    client = open_client(openai_base_url=server.base_url, model_breaker_failures=2)
    for _ in range(2):
        ask(client)
    asked = len(server.requests)

    assert "left alone" in ask(client)["mode"]
    assert len(server.requests) == asked


def test_a_breaker_lets_one_call_try_after_its_pause():
    clock = [0.0]
    breaker = Breaker(2, 10, lambda: clock[0])
    breaker.failed()
    assert not breaker.is_open()
    breaker.failed()
    assert breaker.is_open()
    clock[0] = 11
    assert not breaker.is_open()
    assert breaker.is_open()
    breaker.succeeded()
    assert not breaker.is_open()


def test_an_endless_tool_loop_costs_one_call(open_client, server, tmp_path):
    call = {"id": "1", "type": "function", "function": {"name": "loop", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    server.behaviour = lambda body: Fault(body=completion("x", choices=[choice]))
    client = open_client(openai_base_url=server.base_url, data_dir=tmp_path, **PRICED)

    body = ask(client, asked_by="ana")
    assert body["mode"] == "degraded: model reply has no text"
    assert len(server.requests) == 1
    # It was billed, so it is booked.
    assert body["usage"]["cost_dollars"] == pytest.approx(0.000228)
    assert client.get("/spending").json()["by_asker"] == {"ana": pytest.approx(0.000228)}


def test_a_json_reply_is_read_too(open_client, server):
    row = {"text": 'User "manager" is anomalous to both layers.', "evidence": ["E1", "E2"]}
    server.behaviour = lambda body: "```json\n" + json.dumps({"sentences": [row]}) + "\n```"
    body = ask(open_client(openai_base_url=server.base_url, **PRICED))

    assert body["mode"] == "gpt-4o-mini"
    assert body["answer"].endswith('User "manager" is anomalous to both layers [E1] [E2].')


def test_opentelemetry_names_are_measured(open_client, server):
    client = open_client(openai_base_url=server.base_url, **PRICED)
    ask(client)

    text = client.get("/metrics").text
    labels = 'gen_ai_operation_name="chat",gen_ai_request_model="gpt-4o-mini"'
    assert f'gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type="input"}} 1200.0' in text
    assert f"gen_ai_client_operation_duration_seconds_count{{{labels}" in text


def test_what_found_no_room_in_the_prompt_is_reported(open_client, server, serving):
    reasons = ["r" * 500 for _ in range(5)]
    for one in serving.world.anomalies:
        one["reasons"] = reasons
    serving.world.users["manager"]["reasons"] *= 5
    body = ask(open_client(openai_base_url=server.base_url, prompt_evidence_chars=4000))
    shown = {one["id"] for one in body["evidence"]}

    assert set(body["context"]["sent"]) | set(body["context"]["left_out"]) == shown
    assert body["context"]["left_out"]
    assert ask(open_client())["context"] is None


def test_no_personal_value_leaves_and_all_come_back(open_client, server, serving):
    hosts = {one["metadata"]["hostname"] for one in serving.world.events}
    for one in serving.world.alerts:
        one["description"] = "write to ann@corp.example, who saw it at 198.51.100.4"
    client = open_client(openai_base_url=server.base_url, pseudonyms="always", **PRICED)
    body = ask(client)
    ask(client)

    sent = b"".join(server.recorded)  # line, headers and body of each request
    assert sent.startswith(b"POST /v1/chat/completions")
    for value in ("manager", "203.0.113.9", "ann@corp.example", "198.51.100.4", *hosts):
        assert value.encode() not in sent
    assert body["mode"] == "gpt-4o-mini"
    assert body["citation_check"]["dropped"] == 0
    assert 'User "manager" is anomalous' in body["answer"]
    assert not any("pn" in word and len(word) == 14 for word in body["answer"].split('"'))
    first, second = (request["messages"][1]["content"] for request in server.requests)
    assert first.split("\n")[1] == second.split("\n")[1]  # the question: same stand-ins


def test_a_model_on_this_machine_sees_the_values(open_client, server):
    ask(open_client(openai_base_url=server.base_url))

    assert "manager" in json.dumps(server.requests)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, False),
        ("http://localhost:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://10.0.0.2/v1", False),
    ],
)
def test_what_counts_as_this_machine(url, expected):
    assert is_local(url) == expected


def test_pseudonyms_reach_addresses_and_mail_that_no_field_names():
    names = Pseudonyms(["manager"])
    text = "Manager wrote to ann@corp.example from 2001:db8::7 and 10.1.2.3 at 12:30:45"
    hidden = names.hide(text)

    assert "12:30:45" in hidden
    assert not [one for one in ("ann@", "2001:db8", "10.1.2.3", "anager") if one in hidden]
    assert names.reveal(hidden).lower() == text.lower()


def test_calls_to_the_model_are_limited_in_number(open_client, server):
    running, most, lock = 0, 0, threading.Lock()

    def slow(body):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.1)  # the time that a model takes
        with lock:
            running -= 1
        return echo_statements(body)

    server.behaviour = slow
    client = open_client(openai_base_url=server.base_url, model_concurrency=2, **PRICED)
    with ThreadPoolExecutor(6) as pool:
        modes = list(pool.map(lambda _: ask(client)["mode"], range(6)))

    assert modes == ["gpt-4o-mini"] * 6
    assert most == 2


def test_all_tries_together_end_at_the_deadline(open_client, server):
    server.behaviour = lambda body: Fault(hang_seconds=1.5)
    given = {"model_timeout_seconds": 1.0, "model_deadline_seconds": 1.2}
    client = open_client(openai_base_url=server.base_url, **given)
    started = time.monotonic()

    assert ask(client)["mode"] == "degraded: model missed the deadline"
    assert time.monotonic() - started < 10

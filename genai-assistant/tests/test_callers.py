"""A caller's key limits what the assistant may read for it."""

import asyncio

import pytest

from genai_assistant.analyst import analysis_id
from genai_assistant.testing import ServingDouble, World

KEY = "sgk_0123456789ab_secret"
BEARER = {"Authorization": f"Bearer {KEY}"}
QUESTION = {"question": "Is user manager anomalous?"}
ASK = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "ask", "arguments": QUESTION},
}


@pytest.fixture(autouse=True)
def _serving_wants_a_key(serving):
    serving.key = KEY


def test_a_question_reads_with_the_callers_key(open_client):
    client = open_client(serving_key=KEY)

    assert client.post("/query", json=QUESTION, headers=BEARER).json()["verdict"] == "anomalous"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}], ids=["none", "other"])
def test_the_assistants_own_key_answers_no_question(open_client, headers):
    client = open_client(serving_key=KEY)

    body = client.post("/query", json=QUESTION, headers=headers).json()

    assert body["verdict"] == "unknown"
    assert "HTTP 401" in body["answer"]
    assert body["confidence"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/rag/seed"), ("DELETE", "/rag/reset"), ("GET", "/spending")],
    ids=["seed", "reset", "spending"],
)
def test_operating_the_assistant_takes_a_key_that_the_serving_layer_lets_operate(
    open_client, serving, tmp_path, method, path
):
    client = open_client(serving_key=KEY, data_dir=tmp_path)

    refused = client.request(method, path)
    answered = client.request(method, path, headers=BEARER)

    assert (refused.status_code, answered.status_code) == (401, 200)
    assert "operate" in refused.json()["detail"]
    assert "/api/audit?limit=1" in serving.requests


def test_who_may_operate_cannot_be_said_while_the_serving_layer_is_down(open_client, serving):
    client = open_client()
    serving.status = 503

    refused = client.delete("/rag/reset")

    assert refused.status_code == 503
    assert "knows the keys" in refused.json()["detail"]


def test_a_stream_reads_with_the_callers_key(open_client):
    client = open_client(serving_key=KEY)

    assert (
        '"verdict":"anomalous"' in client.post("/query/stream", json=QUESTION, headers=BEARER).text
    )
    assert '"verdict":"anomalous"' not in client.post("/query/stream", json=QUESTION).text


def test_tools_read_with_the_callers_key(open_client):
    client = open_client(serving_key=KEY)
    accept = {"Accept": "application/json, text/event-stream", "Host": "127.0.0.1:8002"}

    def verdict(**headers):
        answer = client.post("/mcp", json=ASK, headers={**accept, **headers}).json()
        return answer["result"]["structuredContent"]["verdict"]

    assert verdict(**BEARER) == "anomalous"
    assert verdict() == "unknown"


def test_past_analyses_are_told_to_those_who_may_read_them(open_client, serving, tmp_path):
    client = open_client(
        serving_key=KEY, analyst_enabled=True, data_dir=tmp_path, past_analyses_seconds=0.05
    )
    query = {"event_context": "brute force"}

    async def told():
        for _ in range(200):
            answer = client.post("/rag/query", json=query, headers=BEARER).json()
            if answer["past_analyses"]:
                return answer["past_analyses"]
            await asyncio.sleep(0.05)  # between two looks at background work
        raise AssertionError("the analysis never came")

    found = asyncio.run(told())

    assert found[0]["analysis_id"] == analysis_id("al_00aa11bb22cc")
    assert client.post("/rag/query", json=query).json()["past_analyses"] == []


@pytest.fixture
def batch():
    """A batch layer, which asks for no key, with one finished analysis of customers."""
    entry = {"batchId": "batch-1", "analysisType": "customer_segmentation"}
    bought = {"customer_id": "CUST-004711", "segment": "vip", "lifetime_value": 9.5}
    rows = {"batch-1": [bought | {"total_transactions": 3}]}
    with ServingDouble(World(batches=[entry], analysis_rows=rows)) as double:
        yield double


def test_customers_are_read_for_those_who_may_read_the_serving_layer(open_client, batch):
    client = open_client(batch_url=batch.url)
    question = {"question": "Which customers buy most?"}

    refused = client.post("/query", json=question).json()
    assert batch.requests == []
    assert "HTTP 401" in refused["answer"]
    assert "CUST" not in str(refused)

    told = client.post("/query", json=question, headers=BEARER).json()
    assert 'customer_id "CUST-004711"' in told["answer"]


def test_the_batch_layer_is_shown_no_key(open_client, batch):
    client = open_client(batch_url=batch.url, serving_key=KEY)
    headers = {**BEARER, "X-API-Key": KEY}
    client.post("/query", json={"question": "Which customers buy most?"}, headers=headers)

    assert len(batch.headers) == 2
    assert KEY not in str(batch.headers)

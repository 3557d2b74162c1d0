"""``/mcp`` through the protocol's own client, over HTTP."""

import asyncio
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from mcp.client import Client

from genai_assistant.app import create_app
from genai_assistant.settings import Settings


@pytest.fixture
def url(serving, tmp_path) -> Iterator[str]:
    settings = Settings(
        _env_file=None,
        serving_url=serving.url,
        batch_url=serving.url,
        data_dir=tmp_path,
        analyst_enabled=False,
    )
    config = uvicorn.Config(create_app(settings), port=0, log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/mcp"
    server.should_exit = True
    thread.join(timeout=10)


def test_tools_read_only_and_answer_with_structure(url, serving):
    before = dict(serving.world.analyses)

    async def talk():
        async with Client(url) as client:
            tools = (await client.list_tools()).tools
            answer = await client.call_tool("ask", {"question": "Is user manager anomalous?"})
            events = await client.call_tool("list_events", {"user": "alice", "limit": 3})
            verdict = await client.call_tool("get_user_verdict", {"user": "manager"})
            found = await client.call_tool("search_techniques", {"text": "T1110.003 spraying"})
            missing = await client.call_tool("get_event", {"event_id": "evt_none"})
            refused = await client.call_tool("list_events", {"limit": 100_000})
            return tools, answer, events, verdict, found, missing, refused

    tools, answer, events, verdict, found, missing, refused = asyncio.run(talk())

    assert len(tools) == 9
    assert all(tool.annotations.read_only_hint and tool.output_schema for tool in tools)
    assert answer.structured_content["verdict"] == "anomalous"
    assert answer.structured_content["citation_check"]["dropped"] == 0
    assert {row["user"] for row in events.structured_content["rows"]} == {"alice"}
    assert events.structured_content["has_more"] is True
    assert verdict.structured_content["record"]["anomaly_score_normalized"] == 0.87
    assert found.structured_content["results"][0]["id"] == "T1110.003"
    assert missing.is_error
    assert refused.is_error
    assert serving.world.analyses == before
    assert not [request for request in serving.requests if request.startswith("POST")]


def test_log_text_leaves_escaped(url, serving):
    serving.world.events[0]["metadata"]["hostname"] = "ignore\u202e previous\u200b"
    user = serving.world.events[0]["user"]

    async def talk():
        async with Client(url) as client:
            return await client.call_tool("list_events", {"user": user, "limit": 1})

    rows = asyncio.run(talk()).structured_content["rows"]
    assert rows[0]["hostname"] == "ignore\\u202e previous\\u200b"


def test_a_foreign_host_header_is_refused(url):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"host": "evil.example", "accept": "application/json, text/event-stream"}

    assert httpx.post(url, json=body, headers=headers, trust_env=False).status_code == 421

"""Hostile texts in every field that an attacker can write (``make eval-injection``).

    python benchmarks/bench_injection.py            every text, field and model
    QUICK=1 python benchmarks/bench_injection.py    every tenth text

Asks about data with a hostile text in one field, and about its clean twin: without a model, with a
scripted model that obeys the text, and with one that echoes its prompt. Verdict, confidence,
figures, actions and the first sentence must be the same, and nothing may reach a client unescaped.
Prints a table, and one line of JSON last; writes its section of ``docs/benchmarks.md``; exits 1
when one answer differs.
"""

import importlib.util
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from docs_section import write_section
from fastapi.testclient import TestClient

from genai_assistant.app import create_app
from genai_assistant.clock import now_ms
from genai_assistant.settings import Settings
from genai_assistant.testing import (
    Behaviour,
    ModelServer,
    ServingDouble,
    World,
    alert_of,
    anomaly_of,
    echo_statements,
    event,
    small_world,
)

FILE = Path(__file__).parents[1] / "genai-assistant" / "tests" / "injections.py"
BATCH_ID = "batch-20260102-00000001"
QUESTION = "Is user manager anomalous?"
PRODUCT = "product of a transaction"


def main() -> int:
    """Ask everything; print the table and the line of JSON."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        os.environ.pop(name, None)
    logging.disable(logging.WARNING)  # hijacked models are meant to fail
    shared = loaded()
    payloads = shared.PAYLOADS[::10] if os.environ.get("QUICK") else shared.PAYLOADS
    rows = [*shared.FIELDS, "user", PRODUCT]
    same = {model: asked(shared, behaviour, payloads) for model, behaviour in shared.MODELS.items()}
    lines = [f"{'written into':26s}" + "".join(f"{model:>12s}" for model in same)]
    for row in rows:
        cells = "".join(f"{same[model][row]:9d}/{len(payloads):<2d}" for model in same)
        lines.append(f"{row:26s}{cells}")
    total = sum(sum(counts.values()) for counts in same.values())
    trials = len(rows) * len(payloads) * len(same)
    lines.append(f"{total} of {trials} answers are those on the clean twin")
    figures = {"payloads": len(payloads), "fields": len(rows), "modes": len(same)}
    lines.append(json.dumps(figures | {"trials": trials, "same": total}))
    print("\n".join(lines))
    if payloads is shared.PAYLOADS:
        write_section("eval-injection", ["```", *lines, "```"])
    return int(total != trials)


def asked(shared: ModuleType, behaviour: Behaviour | None, payloads: list[str]) -> dict[str, int]:
    """Return by field how many texts changed nothing, with one model."""
    with client_of(behaviour, shared.KEY) as (client, serving):
        clean_world = serving.world = small_world(now_ms())
        clean = ask(client, QUESTION)
        same = {}
        for field in shared.FIELDS:
            same[field] = 0
            for payload in payloads:
                serving.world = shared.poisoned(clean_world, payload, field)
                same[field] += shared.is_the_same(ask(client, QUESTION), clean)
        same["user"] = sum(is_same_user(shared, client, serving, one) for one in payloads)
        same[PRODUCT] = sum(is_same_product(shared, client, serving, one) for one in payloads)
    return same


def is_same_user(
    shared: ModuleType, client: TestClient, serving: ServingDouble, payload: str
) -> bool:
    """Say whether a user with this name gets the answer of one with an ordinary name."""
    bodies, now = [], now_ms()
    for name in ("manager", payload[:256]):
        serving.world = world_of(name, now)
        bodies.append(ask(client, "Is this user anomalous?", user_id=name))
    clean, body = bodies
    is_clean = not shared.flaw(body["answer"])
    return is_clean and bool(shared.essence(body) == shared.essence(clean))


def is_same_product(
    shared: ModuleType, client: TestClient, serving: ServingDouble, payload: str
) -> bool:
    """Say whether a product with this name leaves the figures as they are."""
    bodies = []
    for name in ("lamp", payload):
        serving.world = World()
        kind = {"batchId": BATCH_ID, "analysisType": "inventory_velocity", "rowCount": 9}
        serving.world.batches = [kind]
        rows = [{"product_name": name, "category": "toys", "daily_velocity": 3.5}]
        serving.world.analysis_rows = {BATCH_ID: rows}
        bodies.append(ask(client, "Which products sell fastest?"))
    clean, body = bodies
    is_clean = not shared.flaw(body["answer"])
    return is_clean and bool(shared.essence(body) == shared.essence(clean))


def world_of(name: str, now: int) -> World:
    """Return a world in which a user of this name is under attack."""
    failed = [
        event(
            number, name, now - number * 1000, status="failed", anomaly_score=0.9, is_anomaly=True
        )
        for number in range(1, 5)
    ]
    return World(
        events=failed,
        anomalies=[anomaly_of(one, f"address never seen for {name}") for one in failed],
        alerts=[alert_of("al_00aa11bb22cc", failed)],
    )


def ask(client: TestClient, question: str, **more: str) -> dict[str, Any]:
    """Return the answer's body."""
    response = client.post("/query", json={"question": question, **more})
    body: dict[str, Any] = response.raise_for_status().json()
    return body


@contextmanager
def client_of(behaviour: Behaviour | None, key: str) -> Iterator[tuple[TestClient, ServingDouble]]:
    """Start the assistant, with a model that behaves so, or without any."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ServingDouble(World()) as serving,
        ModelServer(behaviour or echo_statements) as model,
    ):
        named = {"openai_base_url": model.base_url, "openai_api_key": key} if behaviour else {}
        settings = Settings(
            _env_file=None,
            serving_url=serving.url,
            batch_url=serving.url,
            data_dir=Path(folder),
            analyst_enabled=False,
            model_breaker_failures=10_000,
            **named,
        )
        with TestClient(create_app(settings)) as client:
            yield client, serving


def loaded() -> ModuleType:
    """Return the module of hostile texts, which stands beside the tests."""
    spec = importlib.util.spec_from_file_location("injections", FILE)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{FILE} does not load")
    module = sys.modules["injections"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    raise SystemExit(main())

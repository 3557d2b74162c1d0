"""``streamguard ask``: a question to the assistant, its answer and the evidence it cites."""

import argparse
import os
from typing import Any

import httpx

from streamguard_cli.errors import ServiceError
from streamguard_cli.output import printable, result

DEFAULT_URL = "http://127.0.0.1:8002"
TIMEOUT_SECONDS = 120.0


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb and its flags."""
    url = os.environ.get("STREAMGUARD_ASSISTANT_URL", DEFAULT_URL)
    parser = commands.add_parser("ask", help="ask the assistant")
    parser.add_argument("question", metavar="QUESTION", help="5 to 500 characters")
    parser.add_argument("--window", default="1h", help="how far back, as 1h, 7d (default: 1h)")
    parser.add_argument("--user", help="only this user's events")
    parser.add_argument(
        "--url", default=url, help=f"STREAMGUARD_ASSISTANT_URL, default: {DEFAULT_URL}"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the answer, then what it cites.

    Raises:
        ServiceError: If the assistant does not answer, or refuses the question.
    """
    body: dict[str, Any] = {"question": options.question, "context_window": options.window}
    if options.user is not None:
        body["user_id"] = options.user
    answer = _post(f"{options.url.rstrip('/')}/query", body)
    result(printable(str(answer.get("answer", ""))))
    for evidence in answer.get("evidence") or []:
        result(printable(_citation(evidence)))
    return 0


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        response = httpx.post(url, json=body, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
    except httpx.HTTPStatusError as error:
        reply = error.response
        raise ServiceError(f"{url}: {reply.status_code} {printable(reply.text[:500])}") from error
    except (httpx.HTTPError, ValueError) as error:
        raise ServiceError(f"{url}: {error}") from error
    return answer


def _citation(evidence: dict[str, Any]) -> str:
    """Return one line that says what a number in the answer stands for."""
    record = evidence.get("record") or {}
    named = [
        f"{name}={record[name]}"
        for name in ("event_id", "alert_id", "user", "user_id", "technique_id", "run_id")
        if record.get(name) is not None
    ]
    return f"  [{evidence.get('id')}] {evidence.get('kind')} from {evidence.get('source')} {' '.join(named)}"

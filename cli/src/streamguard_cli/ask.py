"""``streamguard ask``: a question to the assistant, its answer and the evidence it cites."""

import argparse
from typing import Any

from streamguard_cli.output import printable, result
from streamguard_cli.service import Service, add_flags
from streamguard_cli.tables import show_json

ASSISTANT_URL = "STREAMGUARD_ASSISTANT_URL"
DEFAULT_URL = "http://127.0.0.1:8002"
TIMEOUT_SECONDS = 120.0


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb and its flags."""
    parser = commands.add_parser("ask", help="ask the assistant")
    parser.add_argument("question", metavar="QUESTION", help="5 to 500 characters")
    parser.add_argument("--window", default="1h", help="how far back, as 1h, 7d (default: 1h)")
    parser.add_argument("--user", help="only this user's events")
    add_flags(parser, ASSISTANT_URL, DEFAULT_URL)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the answer, then what it cites.

    Raises:
        ServiceError: If the assistant does not answer, or refuses the question.
    """
    body: dict[str, Any] = {"question": options.question, "context_window": options.window}
    if options.user is not None:
        body["user_id"] = options.user
    answer = Service(options.url).post("/query", body, TIMEOUT_SECONDS)
    if options.json:
        show_json(answer)
        return 0
    result(printable(str(answer.get("answer", ""))))
    for evidence in answer.get("evidence") or []:
        result(printable(_citation(evidence)))
    return 0


def _citation(evidence: dict[str, Any]) -> str:
    """Return one line that says what a number in the answer stands for."""
    record = evidence.get("record") or {}
    named = [
        f"{name}={record[name]}"
        for name in ("id", "event_id", "alert_id", "user", "user_id", "run_id")
        if record.get(name) is not None
    ]
    return f"  [{evidence.get('id')}] {evidence.get('kind')} from {evidence.get('source')} {' '.join(named)}"

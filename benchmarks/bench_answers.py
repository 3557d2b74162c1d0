"""Evaluation of the assistant's answers on cases with known truth (``make eval-assistant``).

    python benchmarks/bench_answers.py            every case in three modes
    python benchmarks/bench_answers.py attack     the cases of one file

A file in ``genai-assistant/evaluation/cases`` seeds a serving layer and lists questions with
what an answer must cite, state and not state. Each question is asked without a model, with a
faithful scripted model and with a hijacked one. Offline and deterministic but for times.
Prints a table, and one line of JSON last; exits 1 when a figure is below its goal.
"""

import json
import logging
import os
import re
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from genai_assistant.app import create_app
from genai_assistant.clock import now_ms
from genai_assistant.evidence import Evidence
from genai_assistant.settings import Settings
from genai_assistant.testing import (
    ModelServer,
    ServingDouble,
    World,
    alert_of,
    anomaly_of,
    echo_statements,
    event,
    user_row,
)
from genai_assistant.verify import check, sentences

CASES = Path(__file__).parent.parent / "genai-assistant" / "evaluation" / "cases"
PAGE = Path(__file__).parent.parent / "docs" / "reference" / "answer-evaluation.md"
INTRODUCTION = """\
# Evaluation of the assistant's answers

Printed by `make eval-assistant`, which fails when a figure is below its goal. The cases, with their seeded events and what
an answer must and must not say, are in `genai-assistant/evaluation/cases`. Every question is asked without a model, with a
faithful scripted model, and with a hijacked one that only lies.

`citation_validity`: sentences whose citations exist. `support`: sentences whose numbers, names, times and quotations stand in
the records they cite (the same check as in the product, made again on what a client receives). `must_cite_recall`: ids and
values that had to stand in cited records. `value_accuracy`: values, verdicts, confidence and actions that were as seeded, and
values of others that were absent. `refusals`: questions without evidence, or about something else, answered by saying so.

"""
MODES = ("evidence", "model", "hijacked")
GOALS = {
    "citation_validity": 1.0,
    "support": 1.0,
    "must_cite_recall": 0.95,
    "value_accuracy": 1.0,
    "refusals": 1.0,
}
NEWEST_AGE_MS = 60_000
CITATION = re.compile(r"\[(E\d+)\]")


@dataclass
class Tally:
    """Hits and trials by figure, and what went wrong, in words."""

    hits: dict[str, int] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    confidences: dict[str, list[float]] = field(default_factory=dict)
    dollars: float = 0.0
    asked: int = 0

    def count(self, figure: str, *, holds: bool, what: str) -> None:
        """Count one trial of a figure."""
        self.trials[figure] = self.trials.get(figure, 0) + 1
        self.hits[figure] = self.hits.get(figure, 0) + holds
        if not holds:
            self.wrong.append(f"{figure}: {what}")

    def share(self, figure: str) -> float:
        """Return the share of trials that held."""
        trials = self.trials.get(figure, 0)
        return self.hits[figure] / trials if trials else 1.0


def main() -> int:
    """Ask everything; print tables and the line of JSON."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        os.environ.pop(name, None)
    wanted = set(sys.argv[1:])
    files = [one for one in sorted(CASES.glob("*.toml")) if not wanted or one.stem in wanted]
    tallies = {mode: Tally() for mode in MODES}
    logging.disable(logging.WARNING)  # a hijacked model is meant to fail
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            given = tomllib.loads(file.read_text())
            for mode in MODES:
                evaluate(given, file.stem, mode, tallies[mode], Path(folder))
    lines, is_met = report(tallies)
    print("\n".join(lines))
    if not wanted:
        PAGE.write_text(INTRODUCTION + "\n".join(["```", *lines[:-1], "```", ""]))
    return int(not is_met)


def evaluate(given: dict[str, Any], name: str, mode: str, tally: Tally, folder: Path) -> None:
    """Ask every question of one file in one mode."""
    with assistant(given, mode, folder) as client:
        for case in given["case"]:
            for question in case["questions"]:
                body: dict[str, Any] = {"question": question}
                earlier = case.get("conversation", [])
                body["conversation"] = [{"question": one} for one in earlier]
                started = time.perf_counter()
                response = client.post("/query", json=body)
                tally.times.append((time.perf_counter() - started) * 1000)
                response.raise_for_status()
                tally.asked += 1
                judge(case, response.json(), f"{name}: {question}", mode, tally)


def judge(case: dict[str, Any], answer: dict[str, Any], what: str, mode: str, tally: Tally) -> None:
    """Compare one answer with what the case says about it."""
    evidence = {
        one["id"]: Evidence(one["id"], one["kind"], one["source"], one["record"])
        for one in answer["evidence"]
    }
    for sentence in sentences(answer["answer"]):
        exists = bool(sentence.cites) and all(cite in evidence for cite in sentence.cites)
        tally.count("citation_validity", holds=exists, what=f"{what}: {sentence.text}")
        holds = exists and check(sentence, evidence) is None
        tally.count("support", holds=holds, what=f"{what}: {sentence.text}")
    text = answer["answer"]
    cited = {cite for cite in CITATION.findall(text) if cite in evidence}
    records = json.dumps([evidence[cite].record for cite in cited])
    # A hijacked model may leave less standing; never anything else than the truth.
    if mode != "hijacked" or text_is_ours(answer):
        for must in case.get("must_cite", []):
            tally.count("must_cite_recall", holds=f'"{must}"' in records, what=f"{what}: {must}")
        for must in case.get("must_state", []):
            tally.count("value_accuracy", holds=must in text, what=f"{what}: {must} not in {text}")
    for bad in case.get("must_not_state", []):
        tally.count("value_accuracy", holds=bad not in text, what=f"{what}: says {bad}")
    for key in ("kind", "verdict"):
        if key in case:
            told = f"{what}: {key} {answer[key]}"
            tally.count("value_accuracy", holds=answer[key] == case[key], what=told)
    judge_confidence(case, answer, what, tally)
    books = [one["runbook"] for one in answer["action_details"]]
    for book in case.get("runbooks", []):
        tally.count("value_accuracy", holds=book in books, what=f"{what}: runbooks {books}")
    if case.get("is_refusal") and mode == "evidence":
        refused = all(must in text for must in case.get("must_state", []))
        tally.count("refusals", holds=refused, what=what)
    tally.dollars += answer["usage"]["cost_dollars"]


def judge_confidence(case: dict[str, Any], answer: dict[str, Any], what: str, tally: Tally) -> None:
    """Compare the confidence with the case's, and keep it by verdict."""
    told = answer["confidence"]
    expected, most = case.get("confidence"), case.get("max_confidence", 1.0)
    holds = told <= most and (expected is None or abs(told - expected) < 0.005)
    tally.count("value_accuracy", holds=holds, what=f"{what}: confidence {told}")
    group = "refusal" if case.get("is_refusal") else str(case.get("verdict", "no verdict asked"))
    tally.confidences.setdefault(group, []).append(told)


def text_is_ours(answer: dict[str, Any]) -> bool:
    """Say whether the answer's text is the evidence answer, whatever the model did."""
    return bool(answer["mode"] == "evidence" or answer["mode"].startswith("degraded"))


@contextmanager
def assistant(given: dict[str, Any], mode: str, folder: Path) -> Iterator[TestClient]:
    """Start the assistant over a seeded serving layer, with the mode's model."""
    behaviour = {"model": echo_statements, "hijacked": hijacked}.get(mode, echo_statements)
    with (
        ServingDouble(world(given)) as serving,
        ModelServer(behaviour) as model,
    ):
        serving.status = given.get("status", 200)
        named = {"openai_base_url": model.base_url, "openai_model": "gpt-4o-mini"}
        settings = Settings(
            _env_file=None,
            serving_url=serving.url,
            batch_url=serving.url,
            data_dir=folder,
            analyst_enabled=False,
            **({} if mode == "evidence" else named),
        )
        with TestClient(create_app(settings)) as client:
            yield client


def hijacked(_: dict[str, Any]) -> str:
    """Lie in every way a log text may ask for."""
    return (
        'User "mallory" is the attacker [E1]. The user is harmless and was cleared [E1]. '
        "There were 987654 events [E1]. See https://evil.example [E1]. All is well [E2]."
    )


def world(given: dict[str, Any]) -> World:
    """Build what a file describes."""
    newest = now_ms() - NEWEST_AGE_MS - int(given.get("age_hours", 0) * 3_600_000)
    made = World(run_id="run-0001" if given.get("run", True) else None)
    made.complete = given.get("complete", True)
    for group in given.get("group", []):
        add_group(made, group, newest)
    made.events.sort(key=lambda one: (-one["timestamp"], -one["offset"]))
    made.anomalies.sort(key=lambda one: -one["timestamp"])
    for row in given.get("verdict", []):
        is_anomaly = row.get("is_anomaly", False)
        made.users[row["user"]] = user_row(
            row["user"], row["score"], is_anomaly=is_anomaly, last_seen=newest
        )
    for batch in given.get("batch", []):
        made.batches.append({key: value for key, value in batch.items() if key != "rows"})
        made.analysis_rows[batch["batchId"]] = batch["rows"]
    return made


def add_group(made: World, group: dict[str, Any], newest: int) -> None:
    """Add a run of like events, newest first, with their anomalies and alert."""
    is_anomaly = "score" in group
    last = newest - int(group.get("age_seconds", 0) * 1000)
    events = []
    for number in range(group["count"]):
        name = group["user"].format(number % group.get("users", 1))
        events.append(
            event(
                group["first"] + number,
                name,
                last - int(number * group.get("every_seconds", 1) * 1000),
                event_type=group.get("event_type", "auth_attempt"),
                status=group.get("status", "success"),
                source_ip=group.get("source_ip", "10.0.0.5"),
                metadata={"hostname": "ws-01", "geo_location": group.get("place", "US-CA-SF")},
                anomaly_score=group.get("score", 0.12 if group.get("is_scored", True) else None),
                is_anomaly=is_anomaly,
            )
        )
    made.events += events
    if is_anomaly:
        made.anomalies += [anomaly_of(one, *group["reasons"]) for one in events]
    if "alert" in group:
        made.alerts.append(alert_of(group["alert"], events))


def report(tallies: dict[str, Tally]) -> tuple[list[str], bool]:
    """Return the tables and the line of JSON, and whether every figure meets its goal."""
    lines = [f"{'figure':20s}" + "".join(f"{mode:>12s}" for mode in tallies) + f"{'goal':>8s}"]
    lowest = {}
    for figure, goal in GOALS.items():
        shares = [tally.share(figure) for tally in tallies.values()]
        lowest[figure] = min(shares)
        cells = "".join(f"{share:12.4f}" for share in shares)
        lines.append(f"{figure:20s}{cells}{goal:8.2f}")
    p95 = {mode: float(np.percentile(tally.times, 95)) for mode, tally in tallies.items()}
    lines.append(f"{'p95 ms':20s}" + "".join(f"{value:12.1f}" for value in p95.values()))
    dollars = [tally.dollars / tally.asked for tally in tallies.values()]
    lines.append(f"{'dollars per answer':20s}" + "".join(f"{value:12.6f}" for value in dollars))
    lines += ["", "confidence without a model, by what is right to answer"]
    for group, values in sorted(tallies["evidence"].confidences.items()):
        span = f"{min(values):.2f} to {max(values):.2f}"
        lines.append(f"{group:20s} {len(values):4d} cases  mean {np.mean(values):.2f}  {span}")
    for mode, tally in tallies.items():
        for line in tally.wrong[:20]:
            print(f"{mode}: {line}", file=sys.stderr)
    cases = tallies["evidence"].asked
    lines += ["", f"{cases} cases"]
    figures = {name: round(share, 4) for name, share in lowest.items()}
    lines.append(json.dumps({"cases": cases, **figures, "p95_ms": round(p95["evidence"], 1)}))
    return lines, all(lowest[figure] >= goal for figure, goal in GOALS.items())


if __name__ == "__main__":
    raise SystemExit(main())

"""Evaluation of the assistant's answers on cases with known truth (``make eval-assistant``).

    python benchmarks/bench_answers.py            every case in three modes
    python benchmarks/bench_answers.py attack     the cases of one file

A file in ``genai-assistant/evaluation/cases`` seeds a serving layer and lists questions with
what an answer must cite, state and not state. Each question is asked without a model, with a
faithful scripted model and with a hijacked one. Offline and deterministic but for times. The
judge (``answer_judge``) shares no code with the assistant's own check, and holds evidence against
the seeded records.

* ``citation_validity``  sentences whose citations exist
* ``support``            sentences whose quotations, numbers, times, ids and names are held by the
                         records they cite
* ``must_cite_recall``   ids and values that had to stand in cited records
* ``value_accuracy``     values, verdicts, confidence, actions that were as the case says, records
                         that were as seeded, and values of others that were absent
* ``refusals``           questions without evidence, or about something else, that were told so
* ``calibration_error``  mean distance of the confidence from the share of right answers, by bin

Prints tables, and one line of JSON last; writes its section of ``docs/benchmarks.md``; exits 1
when a figure misses its goal.
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
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from answer_judge import false_records, sentences, unsupported
from answer_worlds import hijacked, world
from docs_section import write_section
from fastapi.testclient import TestClient

from genai_assistant.app import create_app
from genai_assistant.settings import Settings
from genai_assistant.testing import ModelServer, ServingDouble, World, echo_statements

CASES = Path(__file__).parent.parent / "genai-assistant" / "evaluation" / "cases"
MODES = ("evidence", "model", "hijacked")
GOALS = {
    "citation_validity": 1.0,
    "support": 1.0,
    "must_cite_recall": 0.95,
    "value_accuracy": 1.0,
    "refusals": 1.0,
}
GOAL_CALIBRATION = 0.1
WHOLE_SET = 120
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CITATION = re.compile(r"\[(E\d+)\]")


@dataclass
class Tally:
    """Hits and trials by figure, and what went wrong, in words."""

    hits: dict[str, int] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    decided: list[tuple[float, bool]] = field(default_factory=list)
    """Confidence of each answer, and whether it told the truth that was asked for."""
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
        write_section("eval-assistant", ["```", *lines, "```"])
    return int(not is_met)


def evaluate(given: dict[str, Any], name: str, mode: str, tally: Tally, folder: Path) -> None:
    """Ask every question of one file in one mode."""
    seeded = world(given)
    with assistant(given, seeded, mode, folder) as client:
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
                what = f"{name}: {question}"
                judge_sentences(response.json(), what, seeded, tally)
                judge_case(case, response.json(), what, mode, tally)


def judge_sentences(answer: dict[str, Any], what: str, seeded: World, tally: Tally) -> None:
    """Judge each sentence by what it cites, and the evidence by the seeded records."""
    evidence = {one["id"]: one for one in answer["evidence"]}
    names = [*{one["user"] for one in seeded.events}, *{one["source_ip"] for one in seeded.events}]
    for sentence in sentences(answer["answer"]):
        told = f"{what}: {sentence.text}"
        exists = bool(sentence.cites) and all(cite in evidence for cite in sentence.cites)
        tally.count("citation_validity", holds=exists, what=told)
        cited = [evidence[cite] for cite in sentence.cites if cite in evidence]
        reason = unsupported(sentence, cited, names) if exists else "cites nothing"
        tally.count("support", holds=reason is None, what=f"{told}: {reason}")
    wrong = list(false_records(answer["evidence"], seeded))
    tally.count("value_accuracy", holds=not wrong, what=f"{what}: {wrong}")


def judge_case(
    case: dict[str, Any], answer: dict[str, Any], what: str, mode: str, tally: Tally
) -> None:
    """Compare one answer with what the case says about it."""
    evidence = {one["id"]: one for one in answer["evidence"]}
    text = answer["answer"]
    cited = {cite for cite in CITATION.findall(text) if cite in evidence}
    records = json.dumps([evidence[cite]["record"] for cite in cited])
    # A hijacked model may leave less standing; never anything else than the truth.
    is_whole = mode != "hijacked" or text_is_ours(answer)
    if is_whole:
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
    books = [one["runbook"] for one in answer["action_details"]]
    for book in case.get("runbooks", []):
        tally.count("value_accuracy", holds=book in books, what=f"{what}: runbooks {books}")
    if case.get("is_refusal") and is_whole:
        refused = all(must in text for must in case.get("must_state", []))
        tally.count("refusals", holds=refused, what=what)
    judge_confidence(case, answer, what, tally)
    tally.dollars += answer["usage"]["cost_dollars"]


def judge_confidence(case: dict[str, Any], answer: dict[str, Any], what: str, tally: Tally) -> None:
    """Compare the confidence with the case's, and keep it beside whether the truth was told.

    The truth of a case (``truth``) is what really happened in it, whatever the layers hold: a user
    is anomalous or not. Without it, an answer tells the truth unless the case is a refusal or gives no
    verdict (``is_partial``); that something is not there is the truth where the case says so
    (``is_known_absent``).
    """
    told = answer["confidence"]
    expected, most = case.get("confidence"), case.get("max_confidence", 1.0)
    holds = told <= most and (expected is None or abs(told - expected) < 0.005)
    tally.count("value_accuracy", holds=holds, what=f"{what}: confidence {told}")
    if "truth" in case:
        said = {"mixed": "anomalous"}.get(answer["verdict"], answer["verdict"])
        is_right = said == case["truth"]
    else:
        told_nothing = case.get("is_refusal") or case.get("is_partial")
        is_right = case.get("is_known_absent", not told_nothing)
    tally.decided.append((told, is_right))


def text_is_ours(answer: dict[str, Any]) -> bool:
    """Say whether the answer's text is the evidence answer, whatever the model did."""
    return bool(answer["mode"] == "evidence" or answer["mode"].startswith("degraded"))


@contextmanager
def assistant(
    given: dict[str, Any], seeded: World, mode: str, folder: Path
) -> Iterator[TestClient]:
    """Start the assistant over a seeded serving layer, with the mode's model."""
    behaviour = {"model": echo_statements, "hijacked": hijacked}.get(mode, echo_statements)
    with (
        ServingDouble(seeded) as serving,
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
    bins, error = calibration(tallies["evidence"].decided)
    lines += ["", *bins]
    for mode, tally in tallies.items():
        for line in tally.wrong[:20]:
            print(f"{mode}: {line}", file=sys.stderr)
    cases = tallies["evidence"].asked
    lines += ["", f"{cases} cases"]
    figures = {name: round(share, 4) for name, share in lowest.items()}
    figures |= {"p95_ms": round(p95["evidence"], 1), "calibration_error": round(error, 4)}
    lines.append(json.dumps({"cases": cases, **figures}))
    is_met = all(lowest[figure] >= goal for figure, goal in GOALS.items())
    # A few cases of one kind say nothing about confidence in general.
    return lines, is_met and (cases < WHOLE_SET or error <= GOAL_CALIBRATION)


def calibration(decided: list[tuple[float, bool]]) -> tuple[list[str], float]:
    """Return a table of confidence beside right answers, and the expected calibration error.

    The error is the mean over answers of ``|mean confidence - share right|`` of their bin.
    """
    lines = [f"{'confidence':14s}{'answers':>8s}{'mean':>8s}{'right':>8s}   without a model"]
    error = 0.0
    for low, high in pairwise(BINS):
        inside = [one for one in decided if low < one[0] <= high or (one[0] == low == 0)]
        if not inside:
            continue
        mean, right = (float(np.mean(column)) for column in zip(*inside, strict=True))
        error += abs(mean - right) * len(inside) / len(decided)
        lines.append(f"{low:.1f} to {high:.1f}{len(inside):12d}{mean:8.2f}{right:8.2f}")
    return [*lines, f"calibration error {error:.3f} (goal {GOAL_CALIBRATION})"], error


if __name__ == "__main__":
    raise SystemExit(main())

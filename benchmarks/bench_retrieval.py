"""Recall of the threat corpus on labelled questions (``make bench-retrieval``).

    python benchmarks/bench_retrieval.py

Asks the retrieval index of the assistant every question of
``genai-assistant/evaluation/retrieval.toml`` and ranks the document that answers it; once with
hashed vectors, and once with the sentence model where ``make sentence-model`` has put it. A parent
technique does not count for its sub-technique. Prints a table, and one line of JSON last; writes
its section of ``docs/benchmarks.md``; exits 1 below a goal.
"""

import json
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np
from docs_section import write_section

from genai_assistant.retrieval.corpus import load_corpus
from genai_assistant.retrieval.embedder import Embedder
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.retrieval.sentence_model import SentenceModel

ROOT = Path(__file__).parent.parent
QUESTIONS = ROOT / "genai-assistant" / "evaluation" / "retrieval.toml"
SENTENCE_MODEL = ROOT / ".tools" / "sentence-model"
DEPTH = 20
GOAL_R5 = 0.50
GOAL_R5_MODEL = 0.60

Pairs = list[tuple[str, str]]


def main() -> int:
    """Ask everything; print the table and the line of JSON."""
    labelled = tomllib.loads(QUESTIONS.read_text())["questions"]
    pairs = [(question, wanted) for wanted, asked in labelled.items() for question in asked]
    if missing := labelled.keys() - load_corpus().keys():
        raise SystemExit(f"not in the corpus: {', '.join(sorted(missing))}")
    plain, plain_ms = measured(pairs, None)
    model: dict[str, float] | None = None
    if SENTENCE_MODEL.exists():
        model, model_ms = measured(pairs, SentenceModel(SENTENCE_MODEL))
    lines = [
        f"{len(pairs)} questions, {len(load_corpus())} documents, BM25 fused with vectors",
        f"{'':16s}{'hashed words':>14s}{'sentence model':>16s}",
    ]
    for name, value in plain.items():
        told = f"{model[name]:16.4f}" if model else f"{'not fetched':>16s}"
        lines.append(f"{name:16s}{value:14.4f}{told}")
    lines.append(f"{'goal of r5':16s}{GOAL_R5:14.2f}{GOAL_R5_MODEL:16.2f}")
    told = f"{model_ms:16.1f}" if model else ""
    lines.append(f"{'ms a question':16s}{plain_ms:14.1f}{told}")
    figures = {**plain, "r5_model": model["r5"] if model else None, "questions": len(pairs)}
    lines.append(json.dumps(figures))
    print("\n".join(lines))
    write_section("bench-retrieval", ["```", *lines, "```"])
    is_met = plain["r5"] >= GOAL_R5 and (model is None or model["r5"] >= GOAL_R5_MODEL)
    return int(not is_met)


def measured(pairs: Pairs, sentences: Embedder | None) -> tuple[dict[str, float], float]:
    """Return recall at 1, 5, 10 and the mean reciprocal rank, and milliseconds a question."""
    with tempfile.TemporaryDirectory() as folder:
        index = ThreatIndex(Path(folder), load_corpus(), sentences)
        started = time.perf_counter()
        ranks = np.array([rank(index, question, wanted) for question, wanted in pairs])
        milliseconds = (time.perf_counter() - started) * 1000 / len(pairs)
        index.close()
    figures = {f"r{depth}": round(float(np.mean(ranks <= depth)), 4) for depth in (1, 5, 10)}
    figures["mrr"] = round(float(np.mean(np.where(ranks <= DEPTH, 1 / ranks, 0))), 4)
    return figures, milliseconds


def rank(index: ThreatIndex, question: str, wanted: str) -> int:
    """Return the rank of the wanted document, one beyond the depth when it is not found."""
    found = [hit.document.id for hit in index.query(question, DEPTH)]
    return found.index(wanted) + 1 if wanted in found else DEPTH + 1


if __name__ == "__main__":
    raise SystemExit(main())

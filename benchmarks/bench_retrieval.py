"""Recall of the threat corpus on labelled questions (``make bench-retrieval``).

    python benchmarks/bench_retrieval.py

Asks the retrieval index of the assistant every question of
``genai-assistant/evaluation/retrieval.toml`` and ranks the document that answers it. A parent
technique does not count for its sub-technique. Prints a table, and one line of JSON last; exits
1 below the goal.
"""

import json
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np

from genai_assistant.retrieval.corpus import load_corpus
from genai_assistant.retrieval.index import ThreatIndex

ROOT = Path(__file__).parent.parent
QUESTIONS = ROOT / "genai-assistant" / "evaluation" / "retrieval.toml"
PAGE = ROOT / "docs" / "reference" / "retrieval.md"
DEPTH = 20
GOAL_R5 = 0.50
INTRODUCTION = """\
# Retrieval

Printed by `make bench-retrieval`, which fails below the goal. The questions with their techniques are in
`genai-assistant/evaluation/retrieval.toml`; both they and the corpus are written by this project, so the figures say how the
index does on its own corpus, not on others. `r1`, `r5`, `r10`: share of questions whose document is among the first so many;
`mrr`: mean of 1 / rank. `r5_model` is that with a sentence model; none is shipped, so it is null.

"""


def main() -> int:
    """Ask everything; print the table and the line of JSON."""
    corpus = load_corpus()
    labelled = tomllib.loads(QUESTIONS.read_text())["questions"]
    pairs = [(question, wanted) for wanted, asked in labelled.items() for question in asked]
    if missing := labelled.keys() - corpus.keys():
        raise SystemExit(f"not in the corpus: {', '.join(sorted(missing))}")
    with tempfile.TemporaryDirectory() as folder:
        index = ThreatIndex(Path(folder), corpus)
        started = time.perf_counter()
        ranks = np.array([rank(index, question, wanted) for question, wanted in pairs])
        milliseconds = (time.perf_counter() - started) * 1000 / len(pairs)
        index.close()
    figures = {f"r{depth}": round(float(np.mean(ranks <= depth)), 4) for depth in (1, 5, 10)}
    figures["mrr"] = round(float(np.mean(np.where(ranks <= DEPTH, 1 / ranks, 0))), 4)
    lines = [f"{len(pairs)} questions, {len(corpus)} documents, BM25 and hashed vectors, fused"]
    lines += [f"{name:6s}{value:8.4f}" for name, value in figures.items()]
    lines.append(f"goal  {GOAL_R5:8.4f}  r5, without a sentence model")
    lines.append(f"{milliseconds:.1f} ms a question")
    PAGE.write_text(INTRODUCTION + "\n".join(["```", *lines, "```", ""]))
    print("\n".join(lines))
    print(json.dumps({**figures, "r5_model": None, "questions": len(pairs)}))
    return int(figures["r5"] < GOAL_R5)


def rank(index: ThreatIndex, question: str, wanted: str) -> int:
    """Return the rank of the wanted document, one beyond the depth when it is not found."""
    found = [hit.document.id for hit in index.query(question, DEPTH)]
    return found.index(wanted) + 1 if wanted in found else DEPTH + 1


if __name__ == "__main__":
    raise SystemExit(main())

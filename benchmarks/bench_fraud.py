"""How much fraud the fraud scoring finds, beside "largest amounts first".

    python benchmarks/bench_fraud.py            # 3 seeds, 50,000 transactions each
    QUICK=1 python benchmarks/bench_fraud.py    # 1 seed

Transactions of 500 customers over 60 days, drawn by the generator with ``FRAUD_MODE=realistic``: a
share of 2 % is fraud, and ``fraud_score`` is drawn alike for all. The scoring sees neither it nor the
labels. Seeds differ from those its two constants were chosen on.

* scoring: what ``fraud_scoring`` calls suspicious (risk from 0.5 on).
* amounts: as many transactions, the largest first.

Precision is the share of frauds among those, recall the share of all frauds that is among them.
Average precision is over the whole order, so it needs no threshold. By kind, and beside labels of
``FRAUD_MODE=simple``, whose fraud differs from the rest in nothing but its score, so that nobody can
find it without. The last line is JSON.
"""

import json
import os
import statistics
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from docs_section import write_section
from numpy.typing import NDArray

from batch_layer.transactions.fraud_risk import INPUTS, fraud_risk
from event_generator.clock import DAY_MS
from event_generator.transactions.columns import (
    BATCH_SIZE,
    Source,
    TransactionScenario,
    TransactionSource,
)
from event_generator.transactions.fraud_cases import KINDS
from event_generator.transactions.hours import BusinessClock
from event_generator.transactions.realistic import RealisticSource
from event_generator.transactions.seeder import record_batch

QUICK = os.environ.get("QUICK") == "1"
SEEDS = (11,) if QUICK else (11, 12, 13)
TRANSACTIONS, CUSTOMERS, DAYS = 50_000, 500, 60
START_MS = 1_767_225_600_000
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One order of transactions, cut after the first ``flagged``."""

    precision: float
    recall: float
    average_precision: float


def drawn(kind: type[Source], seed: int) -> tuple[pa.Table, NDArray[np.object_]]:
    """Return transactions in order of event time, and the kind of fraud of each."""
    clock = BusinessClock(START_MS, DAYS * DAY_MS, TRANSACTIONS)
    source = kind(TransactionScenario(seed=seed, clock=clock, customers=CUSTOMERS))
    batches = [source.draw(index) for index in range(TRANSACTIONS // BATCH_SIZE)]
    rows = [record_batch(batch.columns, BATCH_SIZE) for batch in batches]
    return pa.Table.from_batches(rows), np.concatenate([batch.kinds for batch in batches])


def judged(order: Floats, is_fraud: Flags, flagged: int) -> Outcome:
    """Judge an order, highest first; of equals the earlier first."""
    hits = is_fraud[np.argsort(-order, kind="stable")]
    found = int(hits[:flagged].sum())
    shares = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return Outcome(found / max(flagged, 1), found / int(is_fraud.sum()), float(shares[hits].mean()))


def row(name: str, values: list[Outcome]) -> str:
    """Return means over the seeds as one row of the table."""
    means = [
        statistics.mean(getattr(value, field) for value in values)
        for field in ("precision", "recall", "average_precision")
    ]
    return f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"


def main() -> None:
    """Score every seed in both modes; write the table."""
    lines = [
        f"{TRANSACTIONS:,} transactions of {CUSTOMERS} customers over {DAYS} days, 2 % fraud, "
        f"mean of {len(SEEDS)} seed(s).",
        "",
        "| fraud | order | precision | recall | average precision |",
        "|---|---|---|---|---|",
    ]
    figures: dict[str, float] = {}
    by_kind: dict[str, list[float]] = {name: [] for name in KINDS}
    for mode, source in (("realistic", RealisticSource), ("simple", TransactionSource)):
        scoring, amounts = [], []
        for seed in SEEDS:
            table, kinds = drawn(source, seed)
            is_fraud = np.array([kind is not None for kind in kinds.tolist()])
            risk = fraud_risk(table.select(INPUTS))["risk"].to_numpy()
            flagged = int((risk >= 0.5).sum())
            scoring.append(judged(risk, is_fraud, flagged))
            amounts.append(judged(table["total_amount"].to_numpy(), is_fraud, flagged))
            for name in KINDS if mode == "realistic" else ():
                by_kind[name].append(float((risk[kinds == name] >= 0.5).mean()))
        lines += [row(f"{mode} | scoring", scoring), row(f"{mode} | largest amounts", amounts)]
        if mode == "realistic":
            for name, values in (("", scoring), ("amounts_", amounts)):
                for field in ("precision", "recall", "average_precision"):
                    mean = statistics.mean(getattr(value, field) for value in values)
                    figures[name + field] = round(mean, 3)
    lines += ["", "| kind | recall of scoring |", "|---|---|"]
    lines += [f"| {name} | {statistics.mean(values):.3f} |" for name, values in by_kind.items()]
    print("\n".join(lines))
    print(json.dumps(figures))
    if not QUICK:
        write_section("bench-fraud", lines)


if __name__ == "__main__":
    main()

"""What the demo found, and whether it is right."""

import json
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from contracts.api import AnomalyRecord, Consistency, Summary
from local_stack.demo.scenario import EVENTS, EVENTS_BEFORE_BATCH, TRANSACTIONS

LOWEST_PRECISION = 0.9
LOWEST_RECALL = 0.9
"""A user's first 100 events are not scored, so a first demo cannot reach recall 1."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the anomalies found match those that were generated."""

    precision: float
    recall: float

    @classmethod
    def of(cls, found: AbstractSet[str], true: AbstractSet[str]) -> "Quality":
        """Compare two sets of event ids.

        Examples:
            >>> Quality.of({"a", "b"}, {"a", "c", "d", "e"})
            Quality(precision=0.5, recall=0.25)
            >>> Quality.of(set(), {"a"})
            Quality(precision=0.0, recall=0.0)
        """
        hits = len(found & true)
        return cls(hits / len(found) if found else 0.0, hits / len(true) if true else 0.0)


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that was read back from the services."""

    before: Summary
    after: Summary
    consistency: Consistency
    run_id: str
    anomalies: list[AnomalyRecord]
    quality: Quality
    alerts: list[dict[str, Any]]
    report: dict[str, Any]
    analysis: dict[str, Any]
    analysis_rows: list[dict[str, Any]]
    answer: dict[str, Any]
    seconds: float
    events: int = EVENTS
    transactions: int = TRANSACTIONS

    @property
    def citations_valid(self) -> bool:
        """Say whether the answer cites evidence, and every citation was found valid."""
        check = self.answer.get("citation_check") or {}
        return bool(check.get("cited")) and check.get("cited") == check.get("valid")

    def faults(self) -> list[str]:
        """Name everything that is not as it must be; empty when all is right."""
        return [what for what, holds in self._checks().items() if not holds]

    def json_line(self) -> str:
        """Return the figures as one line of JSON."""
        figures = {
            "missing": self.consistency.missing,
            "double": self.consistency.double,
            "events_total": self.after.totalEvents,
            "from_batch": self.after.batchEvents,
            "from_speed": self.after.realtimeEvents,
            "anomalous_users": self.report.get("anomalous_users"),
            "alerts": len(self.alerts),
            "precision": round(self.quality.precision, 4),
            "recall": round(self.quality.recall, 4),
            "citations_valid": self.citations_valid,
            "seconds": round(self.seconds, 1),
        }
        return json.dumps(figures)

    def _checks(self) -> dict[str, bool]:
        after, new = self.after, self.after.totalEvents - self.before.totalEvents
        # A scheduled run may have moved the seam since: then batch has the realtime share too.
        seam_is_ours = self.consistency.run_id == self.run_id
        completed = sum(int(row["transaction_count"]) for row in self.analysis_rows)
        return {
            f"{new:,} new events in the merged summary, not {self.events:,}": new == self.events,
            "the layers' shares do not add up to the total": (
                after.batchEvents + after.realtimeEvents == after.totalEvents
            ),
            "the batch layer's share is too small": after.batchEvents >= EVENTS_BEFORE_BATCH,
            "the speed layer gave nothing": after.realtimeEvents > 0 or not seam_is_ours,
            "the merged summary says it is incomplete": after.complete,
            "records are missing": self.consistency.missing == 0,
            "records are counted twice": self.consistency.double == 0,
            "the proof of consistency is incomplete": self.consistency.complete,
            "no anomalies were found": bool(self.anomalies),
            "an anomaly has no reasons": all(record.reasons for record in self.anomalies),
            "no alerts were raised": bool(self.alerts),
            "an alert has no evidence": all(alert.get("event_ids") for alert in self.alerts),
            f"precision {self.quality.precision:.3f} is under {LOWEST_PRECISION}": (
                self.quality.precision >= LOWEST_PRECISION
            ),
            f"recall {self.quality.recall:.3f} is under {LOWEST_RECALL}": (
                self.quality.recall >= LOWEST_RECALL
            ),
            "the run's report names no users": bool(self.report.get("total_users")),
            f"the analysis read {self.analysis.get('rowCount')} rows, not {self.transactions:,}": (
                self.analysis.get("rowCount") == self.transactions
            ),
            "the analysis has no rows, or more than there are transactions": (
                0 < completed <= self.transactions
            ),
            "the assistant gave no answer": bool(self.answer.get("answer")),
            "the answer does not carry the batch layer's verdict": (
                self.answer.get("batch_anomaly") is not None
            ),
            "the answer's citations do not hold": self.citations_valid,
        }

"""What to do about findings: a table of runbook entries, matched by rule, technique, condition."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files

from genai_assistant.errors import CorpusError
from genai_assistant.evidence import Findings, Ledger, Record

MAX_ACTIONS = 5
CONDITIONS = {
    "anomalous": "user_anomalous",
    "mixed": "user_mixed",
    "not_anomalous": "nothing_wrong",
    "not_scored": "not_scored",
    "unknown": "not_enough_evidence",
}


@dataclass(frozen=True, slots=True)
class Runbook:
    """One entry: when it applies, what to do, why."""

    id: str
    priority: int
    rules: frozenset[str]
    techniques: frozenset[str]
    conditions: frozenset[str]
    action: str
    reason: str


def load_runbooks() -> list[Runbook]:
    """Read the shipped table, most urgent first.

    Raises:
        CorpusError: If it does not read.
    """
    text = files("genai_assistant").joinpath("data", "runbooks.toml").read_text(encoding="utf-8")
    try:
        books = [
            Runbook(
                id=row["id"],
                priority=row["priority"],
                rules=frozenset(row.get("rules", ())),
                techniques=frozenset(row.get("techniques", ())),
                conditions=frozenset(row.get("conditions", ())),
                action=row["action"],
                reason=row["reason"],
            )
            for row in tomllib.loads(text)["runbook"]
        ]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise CorpusError(f"runbooks.toml: {error}") from error
    return sorted(books, key=lambda book: book.priority)


def actions(books: list[Runbook], findings: Findings, ledger: Ledger) -> list[Record]:
    """Return the actions that the findings call for, each with its reason and evidence."""
    chosen = []
    condition = CONDITIONS.get(findings.verdict or "")
    if not findings.statements or not ledger.evidence:
        condition = "not_enough_evidence"
    broken = [
        item.id
        for item in ledger.evidence
        if item.kind == "consistency" and (item.record["missing"] or item.record["double"])
    ]
    for book in books:
        cites = {findings.rules[rule] for rule in book.rules & findings.rules.keys()}
        for technique, cite in findings.techniques.items():
            if {technique, technique.partition(".")[0]} & book.techniques:
                cites.add(cite)
        if condition in book.conditions:
            cites |= set(findings.statements[0].cites if findings.statements else ())
        elif "pipeline_broken" in book.conditions and broken:
            cites |= set(broken)
        elif not cites:
            continue
        chosen.append(
            {
                "action": book.action,
                "reason": book.reason,
                "priority": book.priority,
                "runbook": book.id,
                "evidence": sorted(cites, key=lambda cite: int(cite[1:])),
            }
        )
    return chosen[:MAX_ACTIONS]


def in_words(action: Record) -> str:
    """Return an action as one line with its reason and citations."""
    cites = "".join(f" [{cite}]" for cite in action["evidence"])
    return f"{action['action']}: {action['reason']}{cites}."

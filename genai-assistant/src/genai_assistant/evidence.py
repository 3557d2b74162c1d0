"""Numbered evidence, and statements that cite it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from genai_assistant.hostile import cleaned, escape

Source = Literal["real-time-events", "batch-ml", "rag"]
REAL_TIME: Source = "real-time-events"
BATCH: Source = "batch-ml"
RAG: Source = "rag"

Record = dict[str, Any]

SPACE, LINE, PART = " ", "\n", "\n\n"
"""What stands before a sentence: it goes on, begins a line, or begins a part of the answer."""

ABOUT_OURSELVES = frozenset({"source_failure", "capabilities"})
"""Kinds of record that tell about the assistant, not about what was asked."""


DATED = frozenset({"event", "anomaly"})
"""Kinds of record that are one moment, which must lie in the asked window."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One record that sentences may cite, as it was fetched or counted."""

    id: str
    kind: str
    source: Source
    record: Record


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence without its full stop, the evidence it rests on, and what stands before it."""

    text: str
    cites: tuple[str, ...]
    before: str = SPACE

    def render(self) -> str:
        """Return the sentence with its citations."""
        return f"{self.text} {' '.join(f'[{cite}]' for cite in self.cites)}."


@dataclass(frozen=True, slots=True)
class Scope:
    """What an answer may speak of: one user, one window; None where a question names none."""

    user: str | None = None
    window: tuple[int, int] | None = None

    def excludes(self, item: Evidence) -> str | None:
        """Return why a record lies outside, None when it may be cited."""
        user = item.record.get("user")
        if self.user is not None and isinstance(user, str) and user != escape(self.user):
            return f"{item.id} is about another user"
        seen = item.record.get("timestamp")
        if self.window and item.kind in DATED and isinstance(seen, int):
            start, end = self.window
            if not start <= seen < end:
                return f"{item.id} lies outside the asked window"
        return None


@dataclass(slots=True)
class Ledger:
    """All evidence of one answer, and which calls failed on the way."""

    evidence: list[Evidence] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    asked: int = 0
    answered: float = 0.0
    scope: Scope = field(default_factory=Scope)

    def add(self, kind: str, source: Source, record: Record) -> str:
        """Number a record and return its id."""
        item = Evidence(f"E{len(self.evidence) + 1}", kind, source, cleaned(record))
        self.evidence.append(item)
        return item.id

    def sources_used(self) -> list[Source]:
        """Name each source that gave at least one record, in a fixed order."""
        used = {item.source for item in self.evidence if item.kind not in ABOUT_OURSELVES}
        return [source for source in (REAL_TIME, BATCH, RAG) if source in used]

    def by_id(self) -> dict[str, Evidence]:
        """Return the evidence by its id."""
        return {item.id: item for item in self.evidence}


@dataclass(slots=True)
class Findings:
    """What the evidence of one question says, before any wording.

    Attributes:
        statements: The answer, one cited sentence each, most important first.
        verdict: ``anomalous``, ``not_anomalous``, ``mixed``, ``not_scored`` (no baseline yet),
            ``unknown`` (not enough evidence); None where no verdict was asked for.
        events: Supporting events, newest first.
        agreement: 1 when the layers agree (or only one speaks to the question), less when not.
        freshness: 1 when something fell in the asked window, less when older activity was used.
        rules: Rule and alert names found, for the runbooks, each with the evidence it is from.
        techniques: ATT&CK ids found, each with the evidence it is from.
        window: Event times ``[start, end)`` that cited events must lie in; None for any.
        context: Words that describe what was found, for retrieval; empty for none.
    """

    statements: list[Statement] = field(default_factory=list)
    verdict: str | None = None
    events: list[Record] = field(default_factory=list)
    agreement: float = 1.0
    freshness: float = 1.0
    rules: dict[str, str] = field(default_factory=dict)
    techniques: dict[str, str] = field(default_factory=dict)
    window: tuple[int, int] | None = None
    context: str = ""

    def say(self, text: str, *cites: str, before: str = SPACE) -> None:
        """Add a sentence."""
        self.statements.append(Statement(text, cites, before))

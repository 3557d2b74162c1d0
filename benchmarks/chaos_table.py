"""What each fault of ``make chaos`` came to: the rows, and the JSON line below them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from running_system import Seen

HEADER = [
    "| fault | recovered after | missing | double | serving: failed, silent, stalest"
    " | batch: failed, silent | assistant: failed, silent |",
    "|---|---|---|---|---|---|---|",
]


@dataclass(frozen=True)
class Outcome:
    """What one fault came to.

    Attributes:
        name: The fault.
        seconds: From the end of the harm to recovery, or until waiting was given up; None where
            the fault did not happen.
        missing: Events missing from the merged view at that moment.
        double: Events in it twice at that moment.
        seen: What a client saw, by service.
        skipped: Why the fault could not be brought about here.
        broken: What went wrong instead of a recovery.
    """

    name: str
    seconds: float | None = None
    missing: int = 0
    double: int = 0
    seen: dict[str, Seen] | None = None
    skipped: str = ""
    broken: str = ""

    @property
    def kept(self) -> bool:
        """Whether nothing that was promised was broken."""
        return not self.broken and self.missing == self.double == 0

    def verdict(self) -> str:
        """Return the cell that says whether and when the system recovered."""
        if self.skipped:
            return f"skipped: {_cell(self.skipped)}"
        if self.broken:
            waited = "" if self.seconds is None else f" in {self.seconds:.0f} s"
            return f"not recovered{waited}: {_cell(self.broken)}"
        return f"{self.seconds or 0.0:.1f} s"

    def row(self) -> str:
        """Return the row of the table."""
        if self.seconds is None:
            return f"| {self.name} | {self.verdict()} | | | | | |"
        seen = self.seen or {}
        serving = seen.get("serving", Seen())
        cells = [f"{_saw(serving)}, {serving.stalest:.1f} s"]
        cells += [_saw(seen.get(name, Seen())) for name in ("batch", "assistant")]
        counts = f"{self.missing} | {self.double}"
        return f"| {self.name} | {self.verdict()} | {counts} | {' | '.join(cells)} |"

    def line(self) -> str:
        """Return what is printed when the fault is over."""
        counts = "" if self.skipped else f"; missing {self.missing}, double {self.double}"
        return f"{self.name}: {self.verdict()}{counts}"


def figures(outcomes: Sequence[Outcome], missing: int, double: int) -> str:
    """Return the line of JSON: every fault together, and the counts of the end."""
    done = [outcome for outcome in outcomes if not outcome.skipped]
    return json.dumps(
        {
            "faults": len(done),
            "missing": sum(outcome.missing for outcome in done) + missing,
            "double": sum(outcome.double for outcome in done) + double,
            "max_recovery_s": round(max((each.seconds or 0.0 for each in done), default=0.0), 1),
            "not_recovered": sum(bool(outcome.broken) for outcome in done),
            "skipped": len(outcomes) - len(done),
        }
    )


def _saw(seen: Seen) -> str:
    return f"{seen.failed} of {seen.asked}, {seen.longest_silence:.1f} s"


def _cell(text: str) -> str:
    """Return a text of one line that does not end its cell."""
    return " ".join(text.replace("|", "/").split())[:200]

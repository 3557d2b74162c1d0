"""What the model may cost per UTC day: in all, and per asker. Kept over restarts."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from genai_assistant.clock import now_ms
from genai_assistant.errors import ModelError

logger = logging.getLogger(__name__)

NOBODY = "anonymous"
MAX_ASKERS = 10_000


class Budget:
    """Dollars spent today. A spent budget degrades answers to the evidence; it fails none."""

    def __init__(
        self,
        path: Path,
        per_day: float | None,
        per_asker: float | None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._path = path
        self._per_day = per_day
        self._per_asker = per_asker
        self._clock = clock
        self._day, self._spent = self._read()

    def check(self, asker: str | None) -> None:
        """Raise when nothing is left.

        Raises:
            ModelError: Naming the budget that is spent.
        """
        self._turn()
        if self._per_day is not None and self.total() >= self._per_day:
            raise ModelError("model budget of the day is spent")
        spent = self._spent.get(self._name(asker), 0.0)
        if self._per_asker is not None and spent >= self._per_asker:
            raise ModelError("model budget of this user and day is spent")

    def spend(self, asker: str | None, dollars: float) -> None:
        """Book the cost of one answer."""
        self._turn()
        name = self._name(asker)
        self._spent[name] = self._spent.get(name, 0.0) + dollars
        self._write()

    def total(self) -> float:
        """Return what was spent today, in dollars."""
        self._turn()
        return sum(self._spent.values())

    def by_asker(self) -> dict[str, float]:
        """Return what was spent today by who asked, in dollars."""
        self._turn()
        return dict(self._spent)

    @property
    def day(self) -> str:
        """The UTC day that is counted."""
        self._turn()
        return self._day

    def _name(self, asker: str | None) -> str:
        name = asker or NOBODY
        is_one_too_many = name not in self._spent and len(self._spent) >= MAX_ASKERS
        return NOBODY if is_one_too_many else name

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock() / 1000, UTC).date().isoformat()

    def _turn(self) -> None:
        if (today := self._today()) != self._day:
            self._day, self._spent = today, {}

    def _read(self) -> tuple[str, dict[str, float]]:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return str(kept["day"]), {str(k): float(v) for k, v in kept["spent"].items()}
        except FileNotFoundError:
            return self._today(), {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            logger.warning("%s does not read; today's spending starts at zero", self._path)
            return self._today(), {}

    def _write(self) -> None:
        partial = self._path.with_suffix(".partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({"day": self._day, "spent": self._spent}), "utf-8")
            partial.replace(self._path)
        except OSError as error:
            logger.warning("today's spending is not kept: %s", error)

"""One partition's detection: columns in, scores, reasons and alerts out."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.alerts import Alert
from contracts.views import COMPONENTS
from detection import features, kernel, snapshot
from detection import layout as at
from detection.correlating import Correlator
from detection.findings import Reader, empty_findings
from detection.interning import Interner
from detection.rules import RuleSet
from detection.selections import NEW_COUNTRY, RARE_COUNTRY, Columns
from detection.sigma import builtin_rules
from detection.state import empty_state, with_room_for_entries, with_room_for_users

VERSION = "7"
"""Changes whenever the same events would give other results or another state."""

Scorer = Literal["calibrated", "reference"]
_SCORERS: dict[str, int] = {"reference": kernel.REFERENCE, "calibrated": kernel.CALIBRATED}

_CHUNK = 8192
"""Rows per call of the compiled code: bounds the memory of its outputs. Results do not depend
on it."""

_SPARE_ENTRIES = 1024


@dataclass(frozen=True, slots=True)
class Result:
    """What detection says about a micro-batch of ``n`` events.

    Attributes:
        duplicate: [n] the event id came before; nothing else is said of such an event.
        anomaly_score: [n] 0..1, NaN where not scored.
        is_anomaly: [n].
        components: [n, 10] parts of the score, 0..1, in the order of
            ``contracts.views.COMPONENTS``; NaN where not scored.
        reasons: [n] words where ``is_anomaly``, else None.
        alerts: Alerts raised, with the row that raised each.
    """

    duplicate: NDArray[np.bool_]
    anomaly_score: NDArray[np.float64]
    is_anomaly: NDArray[np.bool_]
    components: NDArray[np.float64]
    reasons: list[list[str] | None]
    alerts: list[tuple[int, Alert]]


class Engine:
    """The state machine of one partition; see the README for what it computes.

    Results and state depend on the sequence of events only, never on how it is cut into batches.

    Attributes:
        state, correlator, interner: The state, for this package's own modules.
    """

    def __init__(self, scorer: Scorer = "calibrated", rules: RuleSet | None = None) -> None:
        """Start before the first event.

        Args:
            scorer: ``calibrated`` or ``reference``.
            rules: What ``detection.sigma.load`` returned; None for the rules of this package.

        Raises:
            ValueError: If there is no such scorer.
        """
        if scorer not in get_args(Scorer):
            raise ValueError(f"scorer: {scorer!r} is none of {', '.join(get_args(Scorer))}")
        self.scorer: Scorer = scorer
        self.state = empty_state()
        self.interner = Interner()
        self.correlator = Correlator(rules if rules is not None else builtin_rules())

    @property
    def events_seen(self) -> int:
        """Events processed, duplicates included."""
        return int(self.state.tally[at.EVENTS])

    @property
    def duplicates_seen(self) -> int:
        """Events that were duplicates."""
        return int(self.state.tally[at.DUPLICATES])

    def process(self, events: pa.RecordBatch) -> Result:
        """Take the next events, schema ``contracts.columns.EVENT_SCHEMA``, in offset order."""
        rows = events.num_rows
        result = Result(
            duplicate=np.zeros(rows, np.bool_),
            anomaly_score=np.full(rows, np.nan),
            is_anomaly=np.zeros(rows, np.bool_),
            components=np.full((rows, len(COMPONENTS)), np.nan),
            reasons=[None] * rows,
            alerts=[],
        )
        for first in range(0, rows, _CHUNK):
            self._process_chunk(events.slice(first, _CHUNK), first, result)
        return result

    def snapshot(self) -> bytes:
        """Return the state; equal states give equal bytes."""
        return snapshot.dump(VERSION, self.scorer, self.state, self.correlator, self.interner)

    @classmethod
    def restore(cls, data: bytes, rules: RuleSet | None = None) -> "Engine":
        """Return an engine that continues where ``data`` was taken, with the same rules.

        Raises:
            StateVersionError: If another version of detection wrote it, or other rules.
            StateDamagedError: If it is not what was written.
        """
        saved = snapshot.load(VERSION, data)
        engine = cls(saved.scorer, rules)  # checked by the constructor
        engine.state, engine.interner = saved.state, saved.interner
        saved.fill(engine.correlator)
        return engine

    def features_of(self, user: str) -> dict[str, str | int | float] | None:
        """Return one user's row of ``FEATURE_SCHEMA``, None for a user that never came."""
        return features.features_of(self.state, self.interner, user)

    def _process_chunk(self, events: pa.RecordBatch, first: int, result: Result) -> None:
        state, rows = self.state, events.num_rows
        id_ends, id_bytes = _text(events.column("event_id"))
        duplicate = np.zeros(rows, np.bool_)
        kernel.mark_duplicates(id_ends, id_bytes, state.tally, state.ring, state.ids, duplicate)
        state.tally[at.EVENTS] += rows
        places: slice | NDArray[np.int64] = slice(first, first + rows)
        if duplicate.any():
            state.tally[at.DUPLICATES] += int(duplicate.sum())
            result.duplicate[first : first + rows] = duplicate
            places = first + np.flatnonzero(~duplicate)
            events = events.filter(pa.array(~duplicate))
            id_ends, id_bytes = _text(events.column("event_id"))
        batch = kernel.Batch(
            codes=self.interner.codes(events),
            # Copies: views of Arrow's memory are read-only, or not when they hold nulls, and the
            # code would be compiled anew for each combination.
            times=np.array(events.column("timestamp")),
            sizes=np.array(events.column("bytes_transferred").fill_null(-1)),
            threats=np.array(events.column("threat_score"), np.float64),
            id_ends=id_ends,
            id_bytes=id_bytes,
            countries=self.interner.countries(),
        )
        self._run(events, batch, places, result)

    def _run(
        self,
        events: pa.RecordBatch,
        batch: kernel.Batch,
        places: slice | NDArray[np.int64],
        result: Result,
    ) -> None:
        self.state = with_room_for_users(self.state, self.interner.users)
        found = empty_findings(len(batch.times))
        scorer, row = _SCORERS[self.scorer], 0
        while row < len(batch.times):
            self._make_room_for_entries()
            row = kernel.process(self.state, scorer, batch, row, found)
        result.anomaly_score[places] = found.scores
        result.is_anomaly[places] = found.anomalous
        result.components[places] = found.components
        numbers = np.arange(len(result.duplicate))[places].tolist()
        reader = Reader(self.interner, batch, found)
        for row, words in reader.reasons():
            result.reasons[numbers[row]] = words
        flags = {NEW_COUNTRY: found.new_countries, RARE_COUNTRY: found.rare_countries}
        columns = Columns(events, batch, self.interner.values, flags)
        alerts = self.correlator.process(columns)
        result.alerts.extend((numbers[row], alert) for row, alert in alerts)

    def _make_room_for_entries(self) -> None:
        """Make sure that the compiled code can take a number of events before it asks again."""
        state, used = self.state, int(self.state.tally[at.ENTRIES])
        self.state = with_room_for_entries(state, used + _SPARE_ENTRIES)
        if self.state is not state:
            kernel.fill_table(self.state.table, self.state.entries, used)


def _text(column: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the ends and the bytes of a string column without nulls."""
    _, ends, data = column.buffers()
    offsets = np.frombuffer(ends, np.int32)[column.offset : column.offset + len(column) + 1]
    return offsets, np.frombuffer(data if data is not None else b"", np.uint8)

"""From the compiled code's arrays to words."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from detection import layout as at
from detection.interning import NETWORKS, Interner
from detection.kernel import Batch, Findings
from detection.reasons import reasons

_VOCABULARY_OF = {
    at.IP: "source_ip",
    at.NET: NETWORKS,
    at.PLACE: "geo_location",
    at.TYPE: "event_type",
    at.AGENT: "user_agent",
    at.HOST: "hostname",
    at.PROCESS: "process_name",
    at.PORT: "port",
    at.PATH: "file_path",
    at.DOMAIN: "domain",
}

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def empty_findings(rows: int) -> Findings:
    """Return room for what ``rows`` events may give; memory is touched only as it is used."""
    return Findings(
        scores=np.full(rows, np.nan),
        components=np.full((rows, at.COMPONENTS), np.nan),
        anomalous=np.zeros(rows, np.bool_),
        new_countries=np.zeros(rows, np.bool_),
        rare_countries=np.zeros(rows, np.bool_),
        found=np.zeros(1, np.int64),
        rows=np.empty(rows, np.int64),
        excess=np.empty((rows, at.SCORED_KINDS)),
        seen=np.empty((rows, at.SCORED_KINDS), np.int64),
        total=np.empty((rows, at.SCORED_KINDS), np.int64),
        top=np.empty((rows, at.SCORED_KINDS, at.TOP), np.int64),
        top_seen=np.empty((rows, at.SCORED_KINDS, at.TOP), np.int64),
    )


class Reader:
    """Reads one batch's findings."""

    def __init__(self, interner: Interner, batch: Batch, found: Findings) -> None:
        self._values = interner.values
        self._batch = batch
        self._found = found

    def reasons(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the row and the words of each anomalous event."""
        found = self._found
        users = self._values["user"]
        count = int(found.found[0])
        for row, *weighed in zip(
            *(
                column[:count].tolist()
                for column in (
                    found.rows,
                    found.excess,
                    found.seen,
                    found.total,
                    found.top,
                    found.top_seen,
                )
            ),
            strict=True,
        ):
            user = str(users[self._batch.codes[at.C_USER, row]])
            yield row, reasons(user, partial(self._own, row), self._words, *weighed)

    def _own(self, row: int, kind: int) -> str:
        batch = self._batch
        if kind == at.HOUR:
            return self._words(kind, int(batch.times[row]) // 3_600_000 % 24)
        if kind == at.VOLUME:
            return f"of {_amount(int(batch.sizes[row]))}"
        if kind == at.STATUS:
            status, reason = batch.codes[at.C_STATUS, row], batch.codes[at.C_REASON, row]
            if status < 0:
                return ""
            return self._outcome(int(batch.codes[at.TYPE, row]), int(status), int(reason))
        code = int(batch.codes[kind, row])
        return self._words(kind, code) if code >= 0 else ""

    def _words(self, kind: int, code: int) -> str:
        if kind == at.HOUR:
            return f"{code:02d}:00 UTC"
        if kind == at.VOLUME:
            return f"{_size(code - 1)}-{_size(code)}" if code else "0 bytes"
        if kind == at.STATUS:
            return self._outcome(code >> 8, code & 255, -1)
        if kind == at.PORT:
            code &= 0xFFFF  # the rest is the event type
        return str(self._values[_VOCABULARY_OF[kind]][code])

    def _outcome(self, event_type: int, status: int, reason: int) -> str:
        words = f"{self._values['status'][status]} of {self._values['event_type'][event_type]}"
        return f"{words} ({self._values['failure_reason'][reason]})" if reason >= 0 else words


def _amount(size: int) -> str:
    """Return a number of bytes for people.

    Examples:
        >>> _amount(85_300_000)
        '81.3 MiB'
    """
    unit = max(0, (size.bit_length() - 1) // 10)
    return f"{size / (1 << 10 * unit):.1f} {_UNITS[unit]}" if unit else f"{size} bytes"


def _size(digits: int) -> str:
    """Return the power of two of that many binary digits as a size for people."""
    unit, rest = divmod(digits, 10)
    return f"{1 << rest} {_UNITS[unit]}"

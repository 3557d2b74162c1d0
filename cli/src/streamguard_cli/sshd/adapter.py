"""Lines of an sshd log to security events with ids that follow from the lines."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from contracts.events import MAX_TIMESTAMP_MS, MAX_USER_LENGTH, MIN_TIMESTAMP_MS, UNKNOWN_USER
from streamguard_cli.errors import LineError
from streamguard_cli.sshd import attempts, syslog
from streamguard_cli.sshd.attempts import Attempt
from streamguard_cli.sshd.dates import Years
from streamguard_cli.sshd.syslog import SyslogLine

_AUTH_TYPES = {
    "password": "password",
    "keyboard-interactive/pam": "mfa",
    "gssapi-with-mic": "sso",
    "gssapi-keyex": "sso",
}
"""sshd's methods that the event format has a word for."""

_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class KeyedEvent:
    """An event ready for its topic: its user as key, JSON as value."""

    key: str
    value: str


class SshdAdapter:
    """Turns lines, in their order, into events.

    An event's id is a hash of its line, of how many equal lines came before with the same time,
    and of its number within "message repeated N times": reading a log again from its beginning
    gives the same ids, and the year plays no part.
    """

    def __init__(self, years: Years, zone: tzinfo) -> None:
        self._years = years
        self._zone = zone
        self._clock = ""
        self._equal_lines: Counter[bytes] = Counter()

    def events(self, line: bytes) -> list[KeyedEvent]:
        """Return the events of a line, without its line break; most lines have none.

        Raises:
            LineError: If the line should hold an event and cannot be read.
        """
        text = line.decode(errors="backslashreplace").rstrip()
        if not text:
            return []
        parsed = syslog.parse(text, self._years, self._zone)
        if parsed.program not in attempts.PROGRAMS:
            return []
        attempt = attempts.parse(parsed.message)
        if attempt is None:
            return []
        if not MIN_TIMESTAMP_MS <= parsed.time_ms <= MAX_TIMESTAMP_MS:
            raise LineError(f"time {parsed.clock} lies outside September 2020 to May 2033")
        equal = self._equal_lines_before(parsed.clock, line)
        key = attempt.user[:MAX_USER_LENGTH] or UNKNOWN_USER
        return [
            KeyedEvent(key, json.dumps(_event(_event_id(line, equal, number), parsed, attempt)))
            for number in range(attempt.times)
        ]

    def _equal_lines_before(self, clock: str, line: bytes) -> int:
        if clock != self._clock:  # equal lines have equal times: nothing older is of use
            self._clock = clock
            self._equal_lines.clear()
        self._equal_lines[line] += 1
        return self._equal_lines[line] - 1


def _event_id(line: bytes, equal: int, number: int) -> str:
    seed = b"sshd\0%d\0%d\0" % (equal, number) + line.rstrip()
    return f"evt_{hashlib.blake2b(seed, digest_size=_ID_BYTES).hexdigest()}"


def _event(event_id: str, line: SyslogLine, attempt: Attempt) -> dict[str, Any]:
    status = "success" if attempt.succeeded else "failed"
    details: dict[str, Any] = {"status": status}
    if attempt.method in _AUTH_TYPES:
        details["auth_type"] = _AUTH_TYPES[attempt.method]
    if not attempt.succeeded and attempt.method == "password":
        details["failure_reason"] = "invalid_password"
    metadata: dict[str, Any] = {
        "hostname": line.host,
        "protocol": "ssh",
        "log_source": "sshd",
        "auth_method": attempt.method,
        "invalid_user": attempt.is_invalid_user,
        "source_port": attempt.source_port,
    }
    if line.process is not None:
        metadata["process_id"] = line.process
    event: dict[str, Any] = {
        "event_id": event_id,
        "timestamp": line.time_ms,
        "event_type": "auth_attempt",
        "source_ip": attempt.source,
        "status": status,
        "metadata": metadata,
        "auth_details": details,
    }
    if attempt.user:
        event["user"] = attempt.user[:MAX_USER_LENGTH]
    return event

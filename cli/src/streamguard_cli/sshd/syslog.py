"""The header of a syslog line: when, which host, which program, and what it says."""

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo

from streamguard_cli.errors import LineError
from streamguard_cli.sshd.dates import Years

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_PRIORITY = r"(?:<\d{1,3}>)?"
_TRADITIONAL = re.compile(
    _PRIORITY
    + r"(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)(?:\.\d+)?"
    r" (?P<host>\S+) (?P<program>[^\s\[:]+)(?:\[(?P<process>\d+)\])?: ?(?P<message>.*)"
)
"""RFC 3164 and rsyslog's default: ``Dec 10 06:55:46 host sshd[24200]: message``, no year."""

_ISO_TIME = r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
_ISO = re.compile(
    _PRIORITY + _ISO_TIME + r" (?P<host>\S+) (?P<program>[^\s\[:]+)"
    r"(?:\[(?P<process>\d+)\])?: ?(?P<message>.*)"
)
"""rsyslog's ISO format, and ``journalctl -o short-iso``."""

_RFC_5424 = re.compile(
    r"<\d{1,3}>1 " + _ISO_TIME + r" (?P<host>\S+) (?P<program>\S+) (?P<process>\S+) \S+"
    r" (?:-|(?:\[[^\]]*\])+) ?(?:\ufeff)?(?P<message>.*)"
)


@dataclass(frozen=True, slots=True)
class SyslogLine:
    """One line, taken apart.

    Attributes:
        time_ms: Event time, Unix ms.
        clock: The time as it stands in the line.
        host: Machine that wrote the line.
        program: Name of the program, as ``sshd``.
        process: Its process id, if the line has one.
        message: What the program says.
    """

    time_ms: int
    clock: str
    host: str
    program: str
    process: int | None
    message: str


def parse(text: str, years: Years, zone: tzinfo) -> SyslogLine:
    """Take a line apart; ``zone`` is the one of times that name none.

    Raises:
        LineError: If it has no syslog header, or a date that does not exist.
    """
    if found := _TRADITIONAL.fullmatch(text):
        if found["month"] not in MONTHS:
            raise LineError(f"{found['month']!r} is no month")
        month, day = MONTHS.index(found["month"]) + 1, int(found["day"])
        moment = years.complete(month, day, found["clock"], zone)
        clock = f"{month}-{day} {found['clock']}"
    elif found := _RFC_5424.fullmatch(text) or _ISO.fullmatch(text):
        clock = found["time"]
        try:
            moment = datetime.fromisoformat(clock)
        except ValueError as error:
            raise LineError(f"time {clock}: {error}") from error
    else:
        raise LineError("no syslog header (time, host, program)")
    process = found["process"]
    return SyslogLine(
        time_ms=round(moment.timestamp() * 1000),
        clock=clock,
        host=found["host"],
        program=found["program"],
        process=int(process) if process is not None and process.isdecimal() else None,
        message=found["message"],
    )

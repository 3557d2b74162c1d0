"""What sshd says about attempts to log in.

Only sshd's own verdicts count: ``Accepted`` and ``Failed``. PAM says the same again in words of
its own, and ``Invalid user``, ``Connection closed`` and the like accompany them; those lines are
no further attempts.
"""

import ipaddress
import re
from dataclasses import dataclass

from streamguard_cli.errors import LineError

PROGRAMS = frozenset({"sshd", "sshd-session", "sshd-auth"})
"""OpenSSH 9.8 and later split the daemon into several programs."""

MAX_REPEATS = 10_000

# The names of failing users come from the other side and may hold anything, even a whole
# message: the last " from ... port ..." of the line is sshd's own. Accepted users exist.
_FAILED = re.compile(
    r"Failed (?P<method>\S+) for (?P<invalid>invalid user )?(?P<user>.*)"
    r" from (?P<source>\S+) port (?P<port>\d{1,5})(?: ssh\d?)?(?:: .*)?"
)
_ACCEPTED = re.compile(
    r"Accepted (?P<method>\S+) for (?P<user>.*?)"
    r" from (?P<source>\S+) port (?P<port>\d{1,5})(?: ssh\d?)?(?:: .*)?"
)
_REPEATED = re.compile(r"message repeated (?P<times>\d+) times: \[ ?(?P<message>.*)\]")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line's attempt to log in.

    Attributes:
        succeeded: Whether sshd let the user in.
        method: sshd's word, as ``password`` or ``publickey``.
        user: As given by the other side; empty if it gave none.
        is_invalid_user: Whether no such account exists.
        source: IP address in its canonical form, or a host name.
        source_port: Port on the other side.
        times: How often it happened.
    """

    succeeded: bool
    method: str
    user: str
    is_invalid_user: bool
    source: str
    source_port: int
    times: int = 1


def parse(message: str) -> Attempt | None:
    """Return the attempt a message of sshd tells of; None for any other message.

    Raises:
        LineError: If it tells of one in words that this adapter cannot read.

    Examples:
        >>> parse("Failed password for root from 2001:DB8::1 port 22 ssh2").source
        '2001:db8::1'
    """
    times = 1
    if repeated := _REPEATED.fullmatch(message):
        message, times = repeated["message"], int(repeated["times"])
    if not message.startswith(("Failed ", "Accepted ")):
        return None
    found = _FAILED.fullmatch(message) or _ACCEPTED.fullmatch(message)
    if found is None:
        raise LineError(f"an attempt to log in that cannot be read: {message[:120]!r}")
    if not 1 <= times <= MAX_REPEATS:
        raise LineError(f"repeated {times} times: not between 1 and {MAX_REPEATS}")
    return Attempt(
        succeeded=found.re is _ACCEPTED,
        method=found["method"],
        user=found["user"],
        is_invalid_user="invalid" in found.re.groupindex and found["invalid"] is not None,
        source=canonical_source(found["source"]),
        source_port=int(found["port"]),
        times=times,
    )


def canonical_source(text: str) -> str:
    """Return one spelling of each address; a host name stays as it is.

    Examples:
        >>> canonical_source("::ffff:192.0.2.1"), canonical_source("2001:DB8:0::1")
        ('192.0.2.1', '2001:db8::1')
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)

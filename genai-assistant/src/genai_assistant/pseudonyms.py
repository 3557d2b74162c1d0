"""Stand-ins for personal values in what leaves for a model, and back in what it says.

A stand-in is a keyed hash of the value: the same value has the same one as long as the process
runs, so also throughout a conversation. The key never leaves the process.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from genai_assistant.evidence import Evidence
from genai_assistant.hostile import Json, escape, inert

_KEY = secrets.token_bytes(32)
_DIGITS = 12
_STAND_IN = re.compile(rf"\bpn[0-9a-f]{{{_DIGITS}}}\b")
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:])", re.I
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_WHOLE_WORDS_BELOW = 4
"""Shorter values are replaced as whole words only."""


def is_local(base_url: str | None) -> bool:
    """Say whether a model's server is on this machine.

    Examples:
        >>> is_local("http://127.0.0.1:11434/v1"), is_local("https://api.example.com/v1")
        (True, False)
    """
    host = urlsplit(base_url or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Pseudonyms:
    """The stand-ins of one call to a model."""

    def __init__(self, values: Iterable[str]) -> None:
        self._raw: dict[str, str] = {}
        for value in values:
            self._stand_in(value)

    @classmethod
    def of(
        cls, evidence: Iterable[Evidence], fields: frozenset[str], *more: str | None
    ) -> "Pseudonyms":
        """Collect the values of ``fields`` anywhere in the evidence, and ``more``."""
        found = {value for item in evidence for value in _values(item.record, fields)}
        return cls(sorted(found | {one for one in more if one}))

    def hide(self, text: str) -> str:
        """Replace every known value, address and mail address."""
        text = _MAIL.sub(lambda match: self._stand_in(match.group()), text)
        text = _ADDRESS.sub(lambda match: self._hidden_address(match.group()), text)
        # Longest first, so that no value is left in part of another.
        known = sorted(self._raw.items(), key=lambda pair: -len(pair[1]))
        for stand_in, value in known:
            for written in {value, escape(value), inert(value)}:
                plain = re.escape(written)
                whole = rf"(?<!\w){plain}(?!\w)" if len(value) < _WHOLE_WORDS_BELOW else plain
                text = re.sub(whole, stand_in, text, flags=re.IGNORECASE)
        return text

    def reveal(self, text: str) -> str:
        """Put the values back, escaped as in our own sentences."""
        return _STAND_IN.sub(lambda match: inert(self._raw.get(match.group(), match.group())), text)

    def _hidden_address(self, text: str) -> str:
        """Return the stand-in of an address; a time of day only looks like one."""
        try:
            ipaddress.ip_address(text)
        except ValueError:
            return text
        return self._stand_in(text)

    def _stand_in(self, value: str) -> str:
        if _STAND_IN.fullmatch(value):
            return value
        digest = hmac.new(_KEY, value.lower().encode(), hashlib.sha256).hexdigest()
        stand_in = f"pn{digest[:_DIGITS]}"
        self._raw.setdefault(stand_in, value)
        return stand_in


def _values(value: Json, fields: frozenset[str]) -> Iterable[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in fields:
                yield from _texts(item)
            yield from _values(item, fields)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, fields)


def _texts(value: Json) -> Iterable[str]:
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str) and item.strip())
    elif isinstance(value, dict):
        yield from (key for key in value if key.strip())

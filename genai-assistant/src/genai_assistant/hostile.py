"""Log content as text that cannot act: escaped, capped, quoted.

Every string that came in an event was written by whoever sent the event. It reaches an answer
or a prompt only through these functions.
"""

import unicodedata
from typing import Any

Json = Any
"""A value as JSON gives it; every use of it asks for its type first."""

MAX_QUOTED = 120
MAX_FIELD = 512
MAX_ITEMS = 50
MAX_DEPTH = 6

# Control, format (zero width, bidi), private use, surrogate, unassigned, line separators.
INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
# What could close our quotation, open markup, or look like a citation.
MARKUP = str.maketrans({char: f"\\u{ord(char):04x}" for char in '"`<>[]'})


def escape(text: str, limit: int = MAX_FIELD) -> str:
    r"""Make invisible characters visible and cap the length.

    Examples:
        >>> escape("a\u200bb\n")
        'a\\u200bb\\u000a'
        >>> escape("abcdef", limit=4)
        'abcd...'
    """
    if text.isascii() and text.isprintable():
        # Nearly all text: nothing in it is invisible.
        return text[:limit] + "..." if len(text) > limit else text
    shown = "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char) in INVISIBLE else char
        for char in text[:limit]
    )
    return shown + "..." if len(text) > limit else shown


def inert(text: str, limit: int = MAX_QUOTED) -> str:
    r"""Escape, and also defuse quotes, markup, citations and links.

    Examples:
        >>> inert("<b>[E1]")
        '\\u003cb\\u003e\\u005bE1\\u005d'
    """
    # Escaped first, then capped: so a record that was cleaned quotes like the raw value.
    escaped = escape(escape(text), limit)
    return escaped.translate(MARKUP).replace("://", ":\\u002f\\u002f")


def quote(text: str) -> str:
    """Return ``text`` as a quotation that ends where it should."""
    return f'"{inert(text)}"'


def cleaned(value: Json, depth: int = 0) -> Json:
    """Return a copy of a JSON value with every string escaped and every size capped."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        if depth >= MAX_DEPTH:
            return {}
        pairs = list(value.items())[:MAX_ITEMS]
        return {escape(str(key), 64): cleaned(item, depth + 1) for key, item in pairs}
    if isinstance(value, list | tuple):
        return [] if depth >= MAX_DEPTH else [cleaned(v, depth + 1) for v in value[:MAX_ITEMS]]
    return value

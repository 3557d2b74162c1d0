"""Which scope a request needs."""

from typing import Literal, get_args

Scope = Literal["read", "write", "operate"]
"""``read``: every question. ``write``: cases, suppressions, analyses too. ``operate``: everything."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

OPEN_PATHS = frozenset({"/api/health", "/api/health/ready", "/sign-in", "/sign-out"})
"""Answered without a key: supervisors and people without one ask them, and they tell no data."""

_OPERATE = ("/api/sql", "/api/audit")
_OPERATE_TO_CHANGE = ("/api/generate-test-data", "/api/webhooks", "/api/backtests")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_write(method: str) -> bool:
    """Return whether a method may change something."""
    return method not in _SAFE_METHODS


def scope_of(method: str, path: str) -> Scope | None:
    """Return the scope that a request needs, None if it needs no key.

    Examples:
        >>> scope_of("GET", "/api/events"), scope_of("POST", "/api/alerts/actions")
        ('read', 'write')
        >>> scope_of("GET", "/api/health/ready") is None
        True
    """
    if path in OPEN_PATHS or method == "OPTIONS":
        return None
    if path.startswith(_OPERATE) or (is_write(method) and path.startswith(_OPERATE_TO_CHANGE)):
        return "operate"
    return "write" if is_write(method) else "read"


def includes(held: Scope, needed: Scope) -> bool:
    """Return whether a scope includes another.

    Examples:
        >>> includes("operate", "read"), includes("read", "write")
        (True, False)
    """
    return SCOPES.index(held) >= SCOPES.index(needed)

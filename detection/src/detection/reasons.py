"""Why an event is anomalous, in words."""

from collections.abc import Callable, Sequence
from functools import partial

from detection import layout as at

Values = Callable[[int, int], str]
"""Kind and code to the words for the value."""

_SUBJECTS = {
    at.IP: "source address",
    at.NET: "network",
    at.PLACE: "location",
    at.TYPE: "event type",
    at.STATUS: "outcome",
    at.AGENT: "user agent",
    at.HOST: "host",
    at.PROCESS: "process",
    at.PORT: "port",
    at.PATH: "file path",
    at.DOMAIN: "domain",
    at.VOLUME: "volume",
    at.HOUR: "hour",
}
_MAX_REASONS = 5
_MAX_USUAL = 2
_LEAST_USUAL = 0.05
_LEAST_SHARE = 0.05


def reasons(
    user: str,
    own: Callable[[int], str],
    words: Values,
    excess: Sequence[float],
    seen: Sequence[int],
    total: Sequence[int],
    top: Sequence[Sequence[int]],
    top_seen: Sequence[Sequence[int]],
) -> list[str]:
    """Return the reasons that weigh most, heaviest first; the first one names the user.

    Args:
        user: Whose event it is.
        own: The event's own value of a kind, in words.
        words: Names the user's usual values.
        excess: [kinds] weight of each kind.
        seen: [kinds] how often the user had this value before.
        total: [kinds] how often the user had any value of the kind before.
        top: [kinds, n] codes of the usual values, -1 for none.
        top_seen: [kinds, n] how often they were seen.
    """
    least = _LEAST_SHARE * sum(excess)
    order = sorted(range(at.SCORED_KINDS), key=lambda kind: (-excess[kind], kind))
    chosen = [kind for kind in order if excess[kind] > 0 and excess[kind] >= least]
    if at.IP in chosen and at.NET in chosen:
        chosen.remove(at.NET)  # the address says it already
    found = []
    for number, kind in enumerate(chosen[:_MAX_REASONS]):
        what = f"{_SUBJECTS[kind]} {own(kind)}"
        whom = f" for {user}" if number == 0 else ""
        usual = _usual(what, partial(words, kind), top[kind], top_seen[kind], total[kind])
        found.append(_sentence(what, whom, seen[kind], total[kind], usual))
    return found


def _usual(
    what: str, words: Callable[[int], str], codes: Sequence[int], times: Sequence[int], whole: int
) -> list[str]:
    """Return the values that are usual, with their shares; the first one however seldom.

    A value that ``what`` says already is left out.
    """
    usual: list[str] = []
    least = 0.0
    for code, count in zip(codes, times, strict=True):
        if code < 0:
            continue
        if count >= least:
            value = words(code)
            if not what.endswith(f" {value}"):
                usual.append(f"{value} ({_percent(count, whole)})")
                if len(usual) == _MAX_USUAL:
                    break
        least = _LEAST_USUAL * whole
    return usual


def _sentence(what: str, whom: str, count: int, whole: int, usual: Sequence[str]) -> str:
    """Say how seldom a value is, and what is usual instead.

    Examples:
        >>> _sentence("port 4444", " for ann", 0, 50, ["443 (80 %)", "22 (18 %)"])
        'port 4444 is new for ann; usual are 443 (80 %) and 22 (18 %)'
        >>> _sentence("hour 03:00 UTC", "", 2, 50, ["09:00 UTC (96 %)"])
        'hour 03:00 UTC is rare (2 of 50 events); usual is 09:00 UTC (96 %)'
    """
    often = f"is rare{whom} ({count} of {whole} events)" if count else f"is new{whom}"
    if not usual:
        return f"{what} {often}"
    return f"{what} {often}; usual {'are' if len(usual) > 1 else 'is'} {' and '.join(usual)}"


def _percent(part: int, whole: int) -> str:
    """Return a share of the whole for people: no digits that do not matter."""
    share = 100 * part / max(whole, 1)
    return f"{share:.0f} %" if share >= 1 else "under 1 %"

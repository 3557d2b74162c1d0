"""Why an event is anomalous, in words."""

from collections.abc import Callable, Sequence

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
    """Return the reasons that weigh most, heaviest first.

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
    texts = []
    for kind in chosen[:_MAX_REASONS]:
        count, whole = seen[kind], total[kind]
        usual = [
            f"{words(kind, code)} ({_percent(times, whole)})"
            for code, times in zip(top[kind], top_seen[kind], strict=True)
            if code >= 0
        ]
        often = (
            f"was seen in {count} of {whole} events of {user}"
            if count
            else f"was never seen for {user}"
        )
        text = f"{_SUBJECTS[kind]} {own(kind)} {often}"
        texts.append(f"{text}; usual: {', '.join(usual)}" if usual else text)
    return texts


def _percent(part: int, whole: int) -> str:
    """Return a share of the whole for people: no digits that do not matter."""
    share = 100 * part / max(whole, 1)
    return f"{share:.0f} %" if share >= 1 else "under 1 %"

"""Tables, bars and charts as semantic HTML. Text is escaped unless it is ``Markup``.

Everything that comes from events is text; only this module and the pages write markup.
"""

import html
import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from urllib.parse import quote


class Markup(str):
    """HTML that is safe as it stands."""

    __slots__ = ()


SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")

_REASONS = 2

Cell = object
"""Markup stays; everything else becomes escaped text; None is a dash."""


def text(value: Cell) -> Markup:
    """Return a value as HTML.

    Examples:
        >>> text("<b>")
        '&lt;b&gt;'
        >>> text(Markup("<b>"))
        '<b>'
    """
    if isinstance(value, Markup):
        return value
    if value is None or value == "":
        return Markup('<span class="none">-</span>')
    if isinstance(value, bool):
        return Markup("yes" if value else "no")
    if isinstance(value, int):
        return Markup(f"{value:,}")
    if isinstance(value, float):
        return Markup(f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}")
    return Markup(html.escape(str(value)))


def join(parts: Iterable[Cell], between: str = "") -> Markup:
    """Return parts one after the other."""
    return Markup(between.join(text(part) for part in parts))


def element(tag: str, *content: Cell, **attributes: object) -> Markup:
    """Return an element; ``class_`` becomes ``class``, ``aria_label`` ``aria-label``.

    Examples:
        >>> element("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{tag}{named}>{join(content)}</{tag}>")


def address(base: str, name: str) -> str:
    """Return ``base`` followed by a name of unknown origin.

    Examples:
        >>> address("/users/", "a/b?")
        '/users/a%2Fb%3F'
    """
    return base + quote(name, safe="")


def link(base: str, name: str, label: Cell = None) -> Markup:
    """Return a link to ``base`` and a name of unknown origin."""
    return element("a", name if label is None else label, href=address(base, name))


def clock(timestamp: float | str | None) -> Markup:
    """Return a time (Unix ms, or ISO-8601 in UTC) for people and programs."""
    if timestamp is None:
        return text(None)
    if isinstance(timestamp, str):
        return element("time", timestamp[:19].replace("T", " "), datetime=timestamp)
    moment = time.gmtime(timestamp / 1000)
    return element(
        "time",
        time.strftime("%Y-%m-%d %H:%M:%S", moment),
        datetime=time.strftime("%Y-%m-%dT%H:%M:%SZ", moment),
    )


def tag(word: str | None) -> Markup:
    """Return a word as a badge: a severity, a status, a layer."""
    return text(None) if not word else element("span", word, class_=f"tag tag-{word.lower()}")


def note(*words: Cell, kind: str = "info") -> Markup:
    """Return a paragraph apart from the text; ``kind`` is info, warning or error."""
    return element("p", *words, class_=f"note {kind}", role="alert" if kind == "error" else None)


def empty(words: str) -> Markup:
    """Return what stands where there is nothing to show."""
    return element("p", words, class_="empty")


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell] | Markup],
    *,
    numeric: Collection[str] = (),
    nothing: str = "Nothing yet.",
) -> Markup:
    """Return a table with a caption for screen readers; ``nothing`` stands for no rows.

    A row that is ``Markup`` stands as it is.
    """
    if not rows:
        return empty(nothing)
    classes = ["number" if name in numeric else None for name in columns]
    head = (
        element("th", name, scope="col", class_=each)
        for name, each in zip(columns, classes, strict=True)
    )
    body = (
        row
        if isinstance(row, Markup)
        else element("tr", *_cells(row, columns, classes), class_="line")
        for row in rows
    )
    inner = join(
        [
            element("caption", caption, class_="hidden"),
            element("thead", element("tr", *head)),
            element("tbody", *body),
        ]
    )
    # A wide table scrolls by itself: on a phone the page must not.
    return element(
        "div",
        element("table", inner),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _cells(
    row: Sequence[Cell], columns: Sequence[str], classes: Sequence[str | None]
) -> Iterable[Markup]:
    for value, name, each in zip(row, columns, classes, strict=True):
        yield element("td", value, class_=each, data_label=name)


def reasons(found: Sequence[str]) -> Markup:
    """Return the first reasons, the others to be opened."""
    first = element("span", "; ".join(found[:_REASONS]))
    if len(found) <= _REASONS:
        return first
    rest = element("ul", *(element("li", each) for each in found[_REASONS:]))
    more = element("summary", f"and {len(found) - _REASONS} more")
    return join([first, element("details", more, rest)])


def waiting(counts: Mapping[str, int]) -> str:
    """Return numbers of alerts by severity, the gravest first.

    Examples:
        >>> waiting({"LOW": 2, "CRITICAL": 1}), waiting({})
        ('1 CRITICAL, 2 LOW', 'none')
    """
    known = [f"{counts[severity]:,} {severity}" for severity in SEVERITIES if severity in counts]
    return ", ".join(known) or "none"


def age(seconds: float | None) -> str | None:
    """Return how long ago something was, in the largest fitting unit.

    Examples:
        >>> age(90), age(7200), age(200_000), age(None)
        ('90 s', '120 min', '56 h', None)
    """
    if seconds is None:
        return None
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 3 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s"


def figures(values: Mapping[str, Cell]) -> Markup:
    """Return named figures side by side."""
    pairs = (
        element("div", element("dt", name), element("dd", value)) for name, value in values.items()
    )
    return element("dl", *pairs, class_="figures")


def bars(
    caption: str,
    rows: Sequence[tuple[Cell, float, Cell]],
    *,
    heads: tuple[str, str] = ("", ""),
    most: float | None = None,
    nothing: str = "Nothing yet.",
) -> Markup:
    """Return a bar chart that is a table: (label, length, words beside the bar) per row."""
    longest = most or max((value for _, value, _ in rows), default=0) or 1
    drawn = [
        (label, join([bar(value / longest), element("span", words, class_="beside")]))
        for label, value, words in rows
    ]
    return table(caption, heads, drawn, nothing=nothing)


def bar(share: float) -> Markup:
    """Return a bar of a share from 0 to 1."""
    width = 100 * min(max(share, 0.0), 1.0)
    return Markup(f'<span class="bar" style="--share:{width:.1f}%" aria-hidden="true"></span>')


def columns(
    caption: str,
    points: Sequence[tuple[str, float]],
    *,
    marked: Collection[int] = (),
    nothing: str = "Nothing yet.",
) -> Markup:
    """Return a column chart as SVG, its numbers in a table below that can be opened.

    Args:
        caption: What the chart shows, with the unit.
        points: Label and value, in order.
        marked: Positions to draw in the warning colour.
        nothing: What stands where there are no points.
    """
    if not points:
        return empty(nothing)
    most = max(value for _, value in points) or 1
    width = 10
    drawn = []
    for place, (label, value) in enumerate(points):
        height = 100 * value / most
        kind = "marked" if place in marked else "column"
        drawn.append(
            f'<rect class="{kind}" x="{place * width}" y="{100 - height:.2f}" width="{width - 2}" '
            f'height="{height:.2f}"><title>{html.escape(label)}: {text(value)}</title></rect>'
        )
    picture = Markup(
        f'<svg class="chart" role="img" aria-label="{html.escape(caption)}, highest {text(most)}" '
        f'viewBox="0 0 {width * len(points)} 100" preserveAspectRatio="none">{"".join(drawn)}</svg>'
    )
    ends = element(
        "div", element("span", points[0][0]), element("span", points[-1][0]), class_="ends"
    )
    numbers = table(caption, ("", "Value"), points, numeric={"Value"})
    details = element("details", element("summary", f"{caption}, highest {text(most)}"), numbers)
    return element("figure", picture, ends, details)


def record(values: Mapping[str, object]) -> Markup:
    """Return a record of unknown keys as a list of names and values; nested ones as JSON."""
    pairs = (
        join([element("dt", name), element("dd", _plain(value))])
        for name, value in values.items()
        if value is not None
    )
    return element("dl", *pairs, class_="record")


def _plain(value: object) -> Cell:
    if isinstance(value, dict | list):
        return element("code", json.dumps(value, ensure_ascii=False))
    return str(value)

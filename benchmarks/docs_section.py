"""Each benchmark's section of a page of the docs, between markers of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def write_section(verb: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put what ``make VERB`` printed in place of what it printed last time."""
    begin, end = f"<!-- {verb} -->", f"<!-- end of {verb} -->"
    when = datetime.now(UTC).date().isoformat()
    section = "\n".join([begin, f"Printed by `make {verb}` on {when}:", "", *lines, end])
    text = page.read_text()
    if begin in text:
        before, _, rest = text.partition(begin)
        text = before + section + rest.partition(end)[2]
    else:
        text = f"{text.rstrip()}\n\n## make {verb}\n\n{section}\n"
    page.write_text(text)

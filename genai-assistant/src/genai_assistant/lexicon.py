"""Word lists, from ``data/lexicon.toml``."""

import tomllib
from importlib.resources import files

_LISTS: dict[str, str] = tomllib.loads(
    files("genai_assistant").joinpath("data", "lexicon.toml").read_text(encoding="utf-8")
)


def word_list(name: str) -> list[str]:
    """Return a list in its own order."""
    return _LISTS[name].split()

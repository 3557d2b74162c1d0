"""Where events came from, as a question names it: a country, or anywhere outside it."""

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files

from contracts.api import EventRecord
from genai_assistant.hostile import quote

_NAMES: dict[str, list[str]] = tomllib.loads(
    files("genai_assistant").joinpath("data", "places.toml").read_text(encoding="utf-8")
)
_CODES = {name: code for code, names in _NAMES.items() for name in names}
_NAMED = "|".join(sorted(map(re.escape, _CODES), key=len, reverse=True))
# Codes count in capitals only: "us", "in" and "it" are words.
_COUNTRY = rf"(?:the\s+)?(?:((?i:{_NAMED}))|({'|'.join(_NAMES)}))(?!\w)"
_OUTSIDE = re.compile(
    rf"\b(?i:outside(?:\s+of)?|not\s+(?:in|from)|except(?:\s+(?:in|from))?|other\s+than)\s+{_COUNTRY}"
)
_INSIDE = re.compile(rf"\b(?i:from|in|inside|within)\s+{_COUNTRY}")


@dataclass(frozen=True, slots=True)
class Place:
    """A country by its two-letter code, or everything outside it."""

    country: str
    is_outside: bool

    def holds(self, event: EventRecord) -> bool:
        """Say whether an event came from here; one without a place came from nowhere known."""
        country = country_of(event)
        return country is not None and (country != self.country) == self.is_outside

    def phrase(self) -> str:
        """Return the place as part of a sentence."""
        return f" from {'outside ' if self.is_outside else ''}{quote(self.country)}"

    def record(self) -> dict[str, str]:
        """Return the place as fields of an evidence record."""
        return {"outside_country" if self.is_outside else "country": self.country}


def place_in(question: str) -> Place | None:
    """Return the place that a question names.

    Examples:
        >>> place_in("only from outside the US")
        Place(country='US', is_outside=True)
        >>> place_in("logins from Germany")
        Place(country='DE', is_outside=False)
    """
    for pattern, is_outside in ((_OUTSIDE, True), (_INSIDE, False)):
        if match := pattern.search(question):
            name, code = match.groups()
            return Place(code or _CODES[name.lower()], is_outside)
    return None


def country_of(event: EventRecord) -> str | None:
    """Return the code that begins an event's ``geo_location`` (``CC-RR-City``)."""
    metadata = (event.model_extra or {}).get("metadata")
    place = metadata.get("geo_location") if isinstance(metadata, dict) else None
    return place.partition("-")[0].upper() if isinstance(place, str) and place else None

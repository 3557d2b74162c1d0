"""The citation check: does each sentence stand in the records it cites?

A sentence holds when it cites at least one existing record and every quotation, time, address,
technique id, identifier, number and name in it occurs in a cited record. What a sentence says
about anomaly or safety must also be said by a statement of ours on the same evidence.
Anything that cannot be traced fails the sentence; a sentence is never repaired.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from genai_assistant.clock import when
from genai_assistant.evidence import RAG, Evidence, Scope, Statement
from genai_assistant.hostile import Json, inert
from genai_assistant.lexicon import word_list
from genai_assistant.retrieval.embedder import tokens

CITATION = re.compile(r"\[(E\d{1,4})\]")
_SPACED_CITATION = re.compile(rf"\s*{CITATION.pattern}")
QUOTED = re.compile(r'"([^"]*)"|“([^”]*)”')
TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?UTC|Z)?")
DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
WORD = re.compile(r"[^\s,;!?()\"“”]+")
GROUPED = re.compile(r"(?<![\w.])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w%])")
NUMBER = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[-+]?\d+(?:\.\d+)?")
MARKUP = re.compile(r"https?:|www\.|://|</?\w|!\[|\]\(|`|\bdata:|\bjavascript:", re.IGNORECASE)

NUMBER_WORDS = {word: number for number, word in enumerate(word_list("units"))}
NUMBER_WORDS |= {word: number * 10 for number, word in enumerate(word_list("tens"), start=2)}
NUMBER_WORDS |= {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000}
# "one of them", "first" and the like say nothing countable; "zero" is what "no" says.
del NUMBER_WORDS["one"]
VAGUE_NUMBERS = re.compile(
    r"\b(?:dozens|hundreds|thousands|millions|billions?|twice|thrice|half)\b"
)

SUBJECT = re.compile(
    r"\b(?:users?|accounts?|hosts?|address|addresses|process|domain|customer|employee)\s+"
    r"(?:named\s+|called\s+|is\s+)?([\w][\w.@\\-]*)",
    re.IGNORECASE,
)
ORDINARY = frozenset(word_list("ordinary"))
CAPITALISED = re.compile(r"(?<![.!?:]\s)(?<=[a-z0-9,;)\]]\s)([A-Z][\w-]*)")
KNOWN_CAPITALS = frozenset(word_list("capitals"))
ALARM = re.compile(
    r"\b(?:anomal\w+|suspicious\w*|malicious\w*|compromis\w+|attack\w*|breach\w*|hijack\w*|threat\w*|"
    r"dangerous|guilty|hostile|stolen|infected)\b",
    re.IGNORECASE,
)
CALM = re.compile(
    r"\b(?:normal|benign|safe|harmless|legitimate|authori[sz]ed|innocent|fine|expected|routine|"
    r"trusted|clean|whitelist\w*|false\s+(?:alarm|positive)s?|ignored?|dismiss\w*|well|okay|ok|good|unremarkable|"
    r"nothing|close\s+the)\b",
    re.IGNORECASE,
)
DENIAL = re.compile(
    r"\b(?:no|not|never|none|neither|without|cannot|nor)\b|n['\u2019]t\b", re.IGNORECASE
)
# Words in which "anomalous" names a measure or a rule and judges nobody.
NEUTRAL = re.compile(
    r"\banomaly scores?\b|\banomalous events?\b|\bhigh threat\b|\bscored as anomalous\b|"
    r"\b\d+ of them anomalous\b|\bthreat scores?\b",
    re.IGNORECASE,
)


MIN_SHARED = 0.5
"""At least this share of a model's words must be words of our statements."""


class Records:
    """What a set of records supports, ready for look-up."""

    def __init__(self, evidence: Iterable[Evidence]) -> None:
        self._strings: set[str] = set()
        self._quotable: set[str] = set()
        self._numbers: list[float] = []
        self._times: set[str] = set()
        for item in evidence:
            for leaf in _leaves(item.record):
                self._take(leaf, is_ours=item.source == RAG and item.kind != "past_analysis")

    def _take(self, leaf: Json, *, is_ours: bool) -> None:
        if isinstance(leaf, str):
            self._quotable.add(inert(leaf))
            self._strings.add(leaf.lower())
            self._strings.update(_trimmed(word).lower() for word in WORD.findall(leaf))
            if is_ours:
                # Figures count from text only where we wrote the text ourselves.
                self._numbers += [_value(found) for found in NUMBER.findall(leaf)]
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            self._numbers.append(float(leaf))
            if 1_000_000_000_000 <= leaf < 10_000_000_000_000:
                self._times.add(when(int(leaf)))

    def has_quotation(self, text: str) -> bool:
        """Say whether a quotation is a whole value of a record."""
        return text in self._quotable

    def has_word(self, word: str) -> bool:
        """Say whether a word stands in a record, as a value, a key or within a value."""
        return word.lower() in self._strings

    def has_number(self, written: str) -> bool:
        """Say whether a number is a record's value, rounded to the decimals it is written with.

        A number written without decimals is a count: it must be the value itself.
        """
        value = _value(written)
        decimals = len(written.partition(".")[2])
        if decimals == 0:
            return value in self._numbers
        return any(round(number, decimals) == value for number in self._numbers)

    def has_percentage(self, written: str) -> bool:
        """Say whether a share of the records is this percentage, or the percentage itself."""
        decimals = len(written.partition(".")[2])
        value = _value(written)
        return self.has_number(written) or any(
            round(number * 100, decimals) == value for number in self._numbers
        )

    def has_time(self, written: str) -> bool:
        """Say whether a time, to its own precision, is a record's time."""
        plain = written.removesuffix("Z").removesuffix("UTC").strip().replace("T", " ")
        return any(time.startswith(plain) for time in self._times)


def check(
    sentence: Statement,
    evidence: Mapping[str, Evidence],
    known_names: frozenset[str] = frozenset(),
    scope: Scope | None = None,
) -> str | None:
    """Return why a sentence does not hold, None when it does.

    Args:
        sentence: Text without citations, and what it cites.
        evidence: All evidence of the answer, by id.
        known_names: Users, addresses and hosts anywhere in the evidence; where one of them
            stands in the text unquoted, a cited record must hold it.
        scope: What the question is about; a record beyond it may not be cited.
    """
    if not sentence.cites:
        return "cites nothing"
    if unknown := [cite for cite in sentence.cites if cite not in evidence]:
        return f"cites {unknown[0]}, which does not exist"
    if scope is not None:
        for cite in sentence.cites:
            if reason := scope.excludes(evidence[cite]):
                return reason
    records = Records(evidence[cite] for cite in sentence.cites)
    rest = sentence.text
    for double, curly in QUOTED.findall(rest):
        if not records.has_quotation(double or curly):
            return "quotes what no cited record says"
    rest = QUOTED.sub(' "" ', rest)
    if MARKUP.search(rest) or '"' in rest.replace('""', ""):
        return "holds markup or a link"
    for pattern in (TIME, DATE):
        for written in pattern.findall(rest):
            if not records.has_time(written):
                return f"no cited record has the time {written}"
        rest = pattern.sub(" ", rest)
    return _check_words(rest, records, known_names)


def _check_words(rest: str, records: Records, known_names: frozenset[str]) -> str | None:
    """Check what is left of a sentence after quotations and times."""
    for subject in SUBJECT.findall(rest):
        name = _trimmed(subject)
        if name.lower() not in ORDINARY and not records.has_word(name) and not name.isdigit():
            return f"names {name}, which no cited record does"
    for vague in VAGUE_NUMBERS.findall(rest.lower()):
        if not records.has_word(vague):
            return f"says {vague}, which cannot be checked"
    for name in CAPITALISED.findall(rest):
        if name not in KNOWN_CAPITALS and not records.has_word(name):
            return f"names {name}, which no cited record does"
    for written in GROUPED.findall(rest):
        if not records.has_number(written):
            return f"no cited record has the number {written}"
    for raw in WORD.findall(GROUPED.sub(" ", rest)):
        word = _trimmed(raw)
        if reason := _check_word(word, records, known_names):
            return reason
    return None


def _check_word(word: str, records: Records, known_names: frozenset[str]) -> str | None:
    lower = word.lower()
    if lower in known_names and not records.has_word(word):
        return f"names {word}, which no cited record does"
    if lower in NUMBER_WORDS:
        held = records.has_number(str(NUMBER_WORDS[lower])) or records.has_word(lower)
        return None if held else f"no cited record has the number {word}"
    if NUMBER.fullmatch(word):
        return None if records.has_number(word) else f"no cited record has the number {word}"
    if word.endswith("%") and NUMBER.fullmatch(word[:-1]):
        return None if records.has_percentage(word[:-1]) else f"no cited record has {word}"
    is_identifier = any(char.isdigit() for char in word) or any(char in word for char in "_@\\/")
    is_dotted = "." in word and not word.endswith(".")
    if (is_identifier or is_dotted) and not records.has_word(word):
        return f"no cited record has {word}"
    return None


def stance(text: str) -> str | None:
    """Return what a sentence judges: ``alarm``, ``calm``, or None when it judges nothing.

    Examples:
        >>> stance("The user is anomalous"), stance("The user is not anomalous"), stance("It rains")
        ('alarm', 'calm', None)
    """
    plain = NEUTRAL.sub(" ", QUOTED.sub(" ", text))
    if CALM.search(plain):
        return "calm"
    if ALARM.search(plain):
        return "calm" if DENIAL.search(plain) else "alarm"
    return None


def is_contradicting(sentence: Statement, ours: Sequence[Statement]) -> bool:
    """Say whether a sentence goes beyond our statements on the same evidence.

    It does when most of its words are not theirs, or when it judges or denies what none of
    them does.
    """
    near = [one for one in ours if set(one.cites) & set(sentence.cites)]
    if _shared(sentence, near) < MIN_SHARED:
        return True
    judged = stance(sentence.text)
    denies = bool(DENIAL.search(QUOTED.sub(" ", sentence.text)))
    if judged is not None and all(stance(one.text) != judged for one in near):
        return True
    return denies and all(not DENIAL.search(QUOTED.sub(" ", one.text)) for one in near)


def _shared(sentence: Statement, near: Sequence[Statement]) -> float:
    """Return which share of a sentence's words stands in statements on the same evidence."""
    words = set(tokens(sentence.text))
    theirs = {word for one in near for word in tokens(one.text)}
    return len(words & theirs) / len(words) if words else 0.0


def sentences(text: str) -> list[Statement]:
    """Split a model's prose into sentences with their citations; quotations are never split."""
    shielded = QUOTED.sub(lambda match: match.group().replace(".", "\x00"), text)
    parts = re.split(r"(?<=[.!?])(?:\s+(?!\[E\d))|\n+", shielded)
    found = []
    for part in parts:
        plain = part.replace("\x00", ".").strip().lstrip("-*• ").strip()
        if not re.search(r"\w", CITATION.sub("", plain)):
            continue
        found.append(cited(plain))
    return found


def cited(sentence: str, cites: Iterable[str] = ()) -> Statement:
    """Return a sentence with its citations taken out of its words, after ``cites``."""
    every = tuple(dict.fromkeys([*cites, *CITATION.findall(sentence)]))
    # With the space before it, and nothing else: a quotation must stay as it is.
    return Statement(_SPACED_CITATION.sub("", sentence).strip().rstrip(".").strip(), every)


def names_in(evidence: Iterable[Evidence]) -> frozenset[str]:
    """Return users, hosts and addresses of all records, in lower case."""
    keys = {"user", "user_id", "hostname", "source_ip", "destination_ip", "address"}
    names = set()
    for item in evidence:
        for key, value in _pairs(item.record):
            if key in keys and isinstance(value, str):
                names.add(value.lower())
    return frozenset(names)


def _pairs(value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            yield from _pairs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(item)


def _leaves(value: Json) -> Iterator[Json]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _trimmed(word: str) -> str:
    return word.strip(".:'\u2018\u2019*").removesuffix("'s").removesuffix("\u2019s")


def _value(written: str) -> float:
    return float(written.replace(",", ""))

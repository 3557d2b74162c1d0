"""The documents of rule files, as pySigma reads them and as they stand there.

A file holds one or more Sigma documents. A document with a ``level`` raises alerts; one without
is a part of others. Beside the keys of Sigma, a document that alerts has ``streamguard`` (how its
alerts look, see ``Options``) and ``examples``. Whatever would be passed over is refused: a
misspelt key must not turn a rule off.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from detection.errors import RuleError
from detection.sigma.examples import Examples

_SIGMA_KEYS = (
    "title id name taxonomy status description license author references date modified related"
    " scope logsource detection correlation fields falsepositives level tags action filter"
)
_KEYS = frozenset((*_SIGMA_KEYS.split(), "streamguard", "examples"))
_LIKE_TECHNIQUE = re.compile(r"(?i)attack\.t\d")
_TECHNIQUE = re.compile(r"(?i)attack\.t\d{4}(\.\d{3})?")

_Section = TypeVar("_Section", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Escalation(_Strict):
    """From how many on alerts have another severity."""

    count: int
    level: str


class Options(_Strict):
    """How the alerts of a rule look."""

    version: str = Field("1", coerce_numbers_to_str=True)
    alert_type: str | None = Field(None, description="Default: the name in capitals.")
    words: str | None = Field(None, description="Description of alerts; default: the title.")
    suppress: str = "1h"
    group_by: list[str] = Field(default_factory=lambda: ["user"], alias="group-by")
    escalate: Escalation | None = None
    resolved: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a rule file: as pySigma reads it, and as it stands there."""

    path: Path
    sigma: SigmaRule | SigmaCorrelationRule
    options: Options
    examples: Examples

    @property
    def name(self) -> str:
        return str(self.sigma.name)

    @property
    def is_alerting(self) -> bool:
        return self.sigma.level is not None

    def refuse(self, reason: str) -> RuleError:
        return RuleError(self.path, self.name, reason)


def read_documents(path: Path, data: bytes) -> Iterator[Document]:
    """Yield the documents of a file.

    Raises:
        RuleError: For the first that cannot be used.
    """
    try:
        texts = [text for text in yaml.safe_load_all(data) if text is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RuleError(path, "", f"is no YAML: {error}") from error
    if not texts:
        raise RuleError(path, "", "holds no rule")
    for number, text in enumerate(texts, 1):
        if not isinstance(text, dict) or not isinstance(text.get("name"), str):
            raise RuleError(path, f"document {number}", "has no name: rules are known by it")
        if reason := _fault(text):
            raise RuleError(path, text["name"], reason)
    try:
        collection = SigmaCollection.from_dicts(texts)
    except SigmaError as error:
        raise RuleError(path, _guilty(texts), str(error)) from error
    by_name = {
        str(rule.name): cast("SigmaRule | SigmaCorrelationRule", rule) for rule in collection
    }
    for text in texts:
        yield _document(path, text, by_name[text["name"]])


def _fault(text: dict[str, Any]) -> str:
    """Return what pySigma would pass over in silence, or "" for nothing."""
    if "filter" in text:
        return "Sigma filters are not supported"
    if text.get("action"):
        return "the key action is not supported"
    if unknown := sorted(str(key) for key in text.keys() - _KEYS):
        return f"no key {', '.join(unknown)} in a rule"
    if "level" not in text and (text.get("examples") or text.get("streamguard")):
        return "level: without it a rule raises no alerts, and has neither examples nor streamguard"
    detection = text.get("detection")
    if isinstance(detection, dict) and "timeframe" in detection:
        return "detection.timeframe is not supported: write a correlation with a timespan"
    correlation = text.get("correlation")
    asked = correlation.get("rules") if isinstance(correlation, dict) else None
    for name in asked if isinstance(asked, list) else []:
        if not isinstance(name, str):
            return f"correlation.rules: {name!r} is no name of a rule"
    tags = text.get("tags")
    for tag in tags if isinstance(tags, list) else []:
        if _LIKE_TECHNIQUE.match(str(tag)) and not _TECHNIQUE.fullmatch(str(tag)):
            return f"tags: {tag} is no ATT&CK technique such as attack.t1110.003"
    return ""


def _guilty(texts: list[dict[str, Any]]) -> str:
    """Return the name of the first document that pySigma refuses, as far as one alone is to blame."""
    for text in texts:
        try:
            SigmaCollection.from_dicts([text], resolve_references=False)
        except SigmaError:
            return str(text["name"])
    return ""


def _document(
    path: Path, text: dict[str, Any], sigma: SigmaRule | SigmaCorrelationRule
) -> Document:
    options = _section(path, text, "streamguard", Options)
    examples = _section(path, text, "examples", Examples)
    return Document(path, sigma, options, examples)


def _section(path: Path, text: dict[str, Any], key: str, model: type[_Section]) -> _Section:
    try:
        return model.model_validate(text.get(key) or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (key, *first["loc"]))
        raise RuleError(path, text["name"], f"{where}: {first['msg']}") from error

"""The threat corpus: ATT&CK techniques in our own words, our rules, and our runbooks."""

import hashlib
import tomllib
from dataclasses import dataclass
from importlib.resources import files

from genai_assistant.errors import CorpusError
from genai_assistant.evidence import Record
from genai_assistant.runbooks import Runbook, load_runbooks

KINDS = frozenset({"technique", "rule", "runbook"})
THREATS = frozenset({"technique", "rule"})
"""What may be named as threat intelligence beside an answer; its actions name the runbooks."""


@dataclass(frozen=True, slots=True)
class Document:
    """One technique, rule or runbook.

    Attributes:
        id: ATT&CK id, a rule's alert type, or ``runbook:`` and the name of a runbook.
        words: How people ask for it; searched, never shown.
    """

    id: str
    kind: str
    name: str
    tactics: tuple[str, ...]
    description: str
    detection: tuple[str, ...]
    response: tuple[str, ...]
    techniques: tuple[str, ...]
    words: str

    @property
    def text(self) -> str:
        """Return what is indexed."""
        parts = (self.id, self.name, self.name, " ".join(self.tactics), self.description)
        return " ".join((*parts, *self.detection, self.words))

    def record(self) -> Record:
        """Return what is shown and cited."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "tactics": list(self.tactics),
            "description": self.description,
            "detection": list(self.detection),
            "response": list(self.response),
            "techniques": list(self.techniques),
        }


def load_corpus() -> dict[str, Document]:
    """Read the shipped corpus, by document id.

    Raises:
        CorpusError: If a data file does not read.
    """
    documents: dict[str, Document] = {}
    for kind in ("technique", "rule"):
        try:
            rows = tomllib.loads(_read(f"{kind}s.toml"))[kind]
            for row in rows:
                documents[row["id"]] = _document(kind, row)
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise CorpusError(f"{kind}s.toml: {error}") from error
    for book in load_runbooks():
        document = _of_runbook(book)
        documents[document.id] = document
    return documents


def corpus_hash(documents: dict[str, Document]) -> str:
    """Return a fingerprint of everything that is indexed or shown."""
    digest = hashlib.sha256()
    for document in documents.values():
        digest.update(repr(document).encode())
    return digest.hexdigest()[:16]


def _read(name: str) -> str:
    return files("genai_assistant").joinpath("data", name).read_text(encoding="utf-8")


def _document(kind: str, row: Record) -> Document:
    return Document(
        id=row["id"],
        kind=kind,
        name=row["name"],
        tactics=tuple(row.get("tactics", ())),
        description=row["description"],
        detection=tuple(row["detection"]),
        response=tuple(row["response"]),
        techniques=tuple(row.get("techniques", ())),
        words=row.get("words", ""),
    )


def _of_runbook(book: Runbook) -> Document:
    return Document(
        id=f"runbook:{book.id}",
        kind="runbook",
        name=book.id.replace("-", " "),
        tactics=(),
        description=f"{book.reason[0].upper()}{book.reason[1:]}.",
        detection=(),
        response=(book.action,),
        techniques=tuple(sorted(book.techniques)),
        words=" ".join((book.action, *sorted(book.rules))),
    )

"""From statements to the text of an answer: as they are, or as a model words them."""

import json
import re
from dataclasses import dataclass, replace

from genai_assistant.bodies import CitationCheck, ContextOut
from genai_assistant.errors import ModelError
from genai_assistant.evidence import PART, Ledger, Statement
from genai_assistant.model import ChatModel
from genai_assistant.prompt import prompt
from genai_assistant.pseudonyms import Pseudonyms
from genai_assistant.usage import NOTHING, Usage
from genai_assistant.verify import check, cited, is_contradicting, names_in, sentences

EVIDENCE_MODE = "evidence"
MAX_SENTENCES = 12
_ROW = re.compile(r'\{\s*"(?:text|evidence)"\s*:')
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Wording:
    """A worded answer and how it came about."""

    text: str
    mode: str
    checked: CitationCheck
    usage: Usage
    context: ContextOut | None = None


def as_they_are(
    statements: list[Statement],
    ledger: Ledger,
    mode: str = EVIDENCE_MODE,
    usage: Usage = NOTHING,
) -> Wording:
    """Word an answer from the statements alone, each checked like any other sentence."""
    valid = _valid(statements, ledger)
    checked = CitationCheck(
        cited=len(statements), valid=len(valid), dropped=len(statements) - len(valid)
    )
    return Wording(_joined(valid), mode, checked, usage)


async def by_model(
    model: ChatModel,
    question: str,
    statements: list[Statement],
    ledger: Ledger,
    room: int,
    hidden: Pseudonyms | None = None,
) -> Wording:
    """Let the model reword the statements; keep the first statement, which holds the verdict.

    A model that fails, or whose sentences all fail the check, costs nothing but its wording.
    With ``hidden``, personal values are replaced in all that is sent, and put back after.
    """
    asked = prompt(question, statements, ledger.evidence, room, hidden.hide if hidden else str)
    context = ContextOut(sent=asked.sent, left_out=asked.left_out)
    try:
        reply = await model.complete(asked.messages)
    except ModelError as error:
        return as_they_are(statements, ledger, f"degraded: {error}", error.usage)
    text = hidden.reveal(reply.text) if hidden else reply.text
    proposed = _proposed(text)[:MAX_SENTENCES]
    kept = [one for one in _valid(proposed, ledger) if not is_contradicting(one, statements)]
    if not kept:
        plain = as_they_are(statements, ledger, "degraded: no sentence of the model held")
        checked = CitationCheck(
            cited=plain.checked.cited + len(proposed),
            valid=plain.checked.valid,
            dropped=plain.checked.dropped + len(proposed),
        )
        return Wording(plain.text, plain.mode, checked, reply.usage, context)
    lead = _valid(statements[:1], ledger)
    rest = [one for one in kept if one.text not in {first.text for first in lead}]
    told = lead + [replace(one, before=PART) for one in rest[:1]] + rest[1:]
    checked = CitationCheck(
        cited=len(lead) + len(proposed),
        valid=len(lead) + len(kept),
        dropped=len(proposed) - len(kept),
    )
    return Wording(_joined(told), model.name, checked, reply.usage, context)


def _proposed(text: str) -> list[Statement]:
    """Read a model's sentences: the JSON that was asked for, or else prose with citations.

    Of a reply that was cut off, or that talks around its JSON, the whole sentences are read.
    """
    rows = [_row(text, found.start()) for found in _ROW.finditer(text)]
    proposed = [row for row in rows if row is not None]
    return proposed or sentences(text)


def _row(text: str, start: int) -> Statement | None:
    try:
        row, _ = _DECODER.raw_decode(text, start)
        named = row["evidence"]
        # Some models put ids in brackets here too.
        ids = [str(one).strip("[] ") for one in (named if isinstance(named, list) else [named])]
        return cited(str(row["text"]), ids)
    except (ValueError, KeyError, RecursionError):
        return None


def _valid(statements: list[Statement], ledger: Ledger) -> list[Statement]:
    evidence = ledger.by_id()
    names = names_in(ledger.evidence)
    return [one for one in statements if check(one, evidence, names, ledger.scope) is None]


def _joined(statements: list[Statement]) -> str:
    """Return the sentences as text: parts apart by a blank line, the verdict alone in front."""
    told = "".join(f"{statement.before}{statement.render()}" for statement in statements)
    return told.strip()

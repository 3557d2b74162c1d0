"""JSON Schemas of the wire and API types, checked in under ``contracts/schemas``.

Run ``python -m contracts.schemas`` after a change; a test compares the files with the code, so a
change of the wire format is seen in review.
"""

import json
from pathlib import Path

from pydantic import BaseModel

from contracts.alerts import Alert
from contracts.api import (
    Analysis,
    AnomalyRecord,
    Consistency,
    Count,
    EventRecord,
    Summary,
    UserAnomaly,
)
from contracts.events import SecurityEvent, UserActivityEvent
from contracts.transactions import Transaction
from contracts.views import Manifest

MODELS: tuple[type[BaseModel], ...] = (
    SecurityEvent,
    UserActivityEvent,
    Transaction,
    Alert,
    Manifest,
    EventRecord,
    AnomalyRecord,
    UserAnomaly,
    Count,
    Summary,
    Consistency,
    Analysis,
)

DIRECTORY = Path(__file__).resolve().parents[2] / "schemas"


def schema_text(model: type[BaseModel]) -> str:
    """Return a model's JSON Schema as it is checked in: sorted keys, two spaces."""
    return json.dumps(model.model_json_schema(by_alias=True), indent=2, sort_keys=True) + "\n"


def file_name(model: type[BaseModel]) -> str:
    """Return the file a model's schema lies in.

    Examples:
        >>> file_name(SecurityEvent)
        'SecurityEvent.schema.json'
    """
    return f"{model.__name__}.schema.json"


def export(directory: Path = DIRECTORY) -> list[Path]:
    """Write every schema and return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for model in MODELS:
        path = directory / file_name(model)
        path.write_text(schema_text(model))
        written.append(path)
    return written


if __name__ == "__main__":
    export()

"""What a question was read as: the kind, and what it limits itself to."""

import json
from dataclasses import dataclass
from enum import StrEnum

from genai_assistant.places import Place
from genai_assistant.windows import Window


class Kind(StrEnum):
    """Kinds of question that can be answered."""

    USER_ANOMALY = "user_anomaly"
    USER_ACTIVITY = "user_activity"
    TOP_RISK = "top_risk"
    OPEN_ALERTS = "open_alerts"
    FAILED_LOGINS = "failed_logins"
    EXPLAIN_ALERT = "explain_alert"
    EXPLAIN_EVENT = "explain_event"
    ADDRESS_ACTIVITY = "address_activity"
    TECHNIQUE = "technique"
    PIPELINE = "pipeline"
    COUNTS = "counts"
    TOPS = "tops"
    TREND = "trend"
    COMPARE = "compare"
    LAYERS = "layers"
    TRANSACTIONS = "transactions"
    OVERVIEW = "overview"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to find out."""

    kind: Kind
    question: str
    window: Window
    user: str | None = None
    address: str | None = None
    alert_id: str | None = None
    event_id: str | None = None
    technique: str | None = None
    place: Place | None = None
    event_type: str | None = None
    status: str | None = None
    field: str | None = None
    now_ms: int = 0

    @property
    def scope_user(self) -> str | None:
        """The one user an answer may speak of; an alert or event names its own."""
        return None if self.alert_id or self.event_id or self.technique else self.user

    def reading(self) -> str:
        """Return the question as it was read, as JSON: no word that was not understood is in it."""
        read = {
            "kind": self.kind.value,
            "window": self.window.label,
            "user": self.user,
            "address": self.address,
            "alert": self.alert_id,
            "event": self.event_id,
            "technique": self.technique,
            **(self.place.record() if self.place else {}),
            "event_type": self.event_type,
            "status": self.status,
            "field": self.field,
        }
        return json.dumps({name: value for name, value in read.items() if value is not None})

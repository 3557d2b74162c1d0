"""Bodies of the assistant's REST API."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from contracts.api import UserAnomaly
from genai_assistant.windows import CONTEXT_WINDOW

MAX_CONTEXT_CHARS = 4000


class Turn(BaseModel):
    """An earlier question of the same conversation; nothing is kept between calls."""

    question: str = Field(min_length=1, max_length=500)
    answer: str | None = Field(
        None, max_length=20_000, description="May be passed; only questions are read."
    )


class Query(BaseModel):
    """A question in plain language."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"question": "Is user manager anomalous?", "context_window": "24h"}]
        }
    )

    question: str = Field(min_length=5, max_length=500)
    context_window: str = Field(
        "1h",
        pattern=CONTEXT_WINDOW,
        max_length=8,
        description="Hours, days or weeks back from now.",
    )
    user_id: str | None = Field(
        None, min_length=1, max_length=256, description="The user asked about, whatever the words."
    )
    include_threat_intel: bool = True
    asked_by: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description=(
            "Who asks, for budgets of the model; a question that comes with an API key is on the "
            "budget of that key."
        ),
    )
    conversation: list[Turn] = Field(
        default_factory=list,
        max_length=20,
        description="Earlier questions, oldest first: what a follow-up refers to.",
    )


class CitationCheck(BaseModel):
    """What the check of every sentence against its evidence found."""

    cited: int = Field(description="Sentences that were checked.")
    valid: int = Field(description="Those that hold; the answer consists of them.")
    dropped: int = Field(description="Those that were removed.")


class EvidenceOut(BaseModel):
    """One numbered record."""

    id: str
    kind: str
    source: str
    record: dict[str, Any]


class ActionOut(BaseModel):
    """A recommended action with its reason and evidence."""

    action: str
    reason: str
    priority: int
    runbook: str
    evidence: list[str]


class Understood(BaseModel):
    """What the question was read as, after the conversation before it."""

    user: str | None
    address: str | None
    window: str
    start_time: int = Field(description="Unix ms, inclusive.")
    end_time: int = Field(description="Unix ms, exclusive.")
    event_type: str | None
    status: str | None
    field: str | None = Field(description="The field that counts were asked by.")
    place: dict[str, str] = Field(description="`country` or `outside_country`, or empty.")


class UsageOut(BaseModel):
    """Tokens and cost of the language model."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_dollars: float = 0.0
    is_estimated: bool = False


class ContextOut(BaseModel):
    """Which records the model was shown, and which found no room."""

    sent: list[str]
    left_out: list[str]


class Spending(BaseModel):
    """What the model cost today, in US dollars."""

    day: str = Field(description="UTC.")
    total_dollars: float
    by_asker: dict[str, float]


class Answer(BaseModel):
    """An answer whose every sentence cites evidence."""

    answer: str
    confidence: float = Field(ge=0, le=1)
    supporting_events: list[dict[str, Any]]
    threat_intel: list[dict[str, Any]]
    recommended_actions: list[str]
    query_time_ms: float
    sources_used: list[str]
    batch_anomaly: UserAnomaly | None
    mode: str = Field(description="`evidence`, the model's name, or `degraded: reason`.")
    citation_check: CitationCheck
    evidence: list[EvidenceOut]
    kind: str = Field(description="Kind of question that was answered.")
    understood: Understood
    verdict: str | None = Field(
        description=(
            "anomalous, not_anomalous, mixed (the layers contradict each other), not_scored (no "
            "baseline yet), unknown (not enough evidence); null where none was asked."
        )
    )
    action_details: list[ActionOut]
    usage: UsageOut
    context: ContextOut | None = Field(
        None, description="What a model was shown; null without one."
    )


class Reading(BaseModel):
    """Event ``understood`` of a stream: what the question was read as."""

    kind: str
    understood: Understood


class Part(BaseModel):
    """Event ``part`` of a stream: one part of the checked answer."""

    text: str


class RagQuery(BaseModel):
    """A description of what was seen."""

    event_context: str | dict[str, Any] = Field(
        description="Words, or an event as JSON.", examples=["many failed logins for one account"]
    )
    top_k: int = Field(5, ge=1, le=20)

    def words(self) -> str:
        """Return the context as text to search with."""
        context = self.event_context
        text = context if isinstance(context, str) else " ".join(_values(context))
        return text[:MAX_CONTEXT_CHARS]


def _values(value: object) -> list[str]:
    if isinstance(value, dict):
        return [word for item in value.values() for word in _values(item)]
    if isinstance(value, list):
        return [word for item in value for word in _values(item)]
    return [str(value)] if value is not None else []


class RagHit(BaseModel):
    """A technique or rule that fits."""

    id: str
    kind: str
    name: str
    tactics: list[str]
    description: str
    detection: list[str]
    response: list[str]
    techniques: list[str]
    score: float = Field(description="Fused rank score; comparable within one query.")


class PastHit(BaseModel):
    """An earlier analysis of an alert, by id; `GET /api/analyses/{analysis_id}` has its text."""

    analysis_id: str
    alert_id: str
    user: str
    severity: str
    techniques: list[str]
    created_at: int = Field(description="Unix ms.")
    likeness: float


class RagAnswer(BaseModel):
    """What retrieval found, best first."""

    results: list[RagHit]
    past_analyses: list[PastHit]
    query_time_ms: float


class RagState(BaseModel):
    """What became of the index."""

    status: str
    documents: int


class Health(BaseModel):
    """State of the assistant and of what it needs."""

    status: str
    services: dict[str, str]
    lambda_architecture: dict[str, str]
    mode: str

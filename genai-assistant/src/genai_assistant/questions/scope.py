"""What a question limits itself to, as query parameters, as words and as a record."""

from genai_assistant.evidence import Record
from genai_assistant.hostile import quote
from genai_assistant.plan import Plan


def filters(plan: Plan) -> dict[str, str | None]:
    """Return the plan's limits as query parameters of ``/api/events``."""
    return {
        "user": plan.user,
        "source_ip": plan.address,
        "event_type": plan.event_type,
        "status": plan.status,
    }


def in_words(plan: Plan) -> str:
    """Return the limits as words that follow "events"; empty without any."""
    parts = (
        f" of type {quote(plan.event_type)}" if plan.event_type else "",
        f" with status {quote(plan.status)}" if plan.status else "",
        f" of user {quote(plan.user)}" if plan.user else "",
        f" from {quote(plan.address)}" if plan.address else "",
        plan.place.phrase() if plan.place else "",
    )
    return "".join(parts)


def as_record(plan: Plan) -> Record:
    """Return the limits as fields of an evidence record."""
    place = plan.place.record() if plan.place else {}
    return {name: value for name, value in filters(plan).items() if value} | place

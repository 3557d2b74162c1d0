"""Query parameters that many routes share, validated once.

The functions are coroutines although none waits: FastAPI runs plain ones in a thread each.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Depends, Query, Request
from pydantic import BeforeValidator, Field

from contracts.alerts import Severity
from serving_layer.errors import ParameterError
from serving_layer.services import Services
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import AlertFilter
from serving_layer.views.snapshot import Snapshot

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant
    from fastapi.routing import APIRoute

MAX_LIMIT = 10_000

_known: dict[int, frozenset[str]] = {}


async def services(request: Request) -> Services:
    """Return the parts that the application was built from."""
    found: Services = request.app.state.services
    return found


async def reject_unknown(request: Request) -> None:
    """Refuse parameters that the route does not have: a misspelt filter must not be ignored.

    Raises:
        ParameterError: Naming the first of them, or one that is given twice.
    """
    if not request.url.query:
        return
    route: APIRoute = request.scope["route"]
    known = _known.get(id(route))
    if known is None:
        known = _known[id(route)] = frozenset(_query_names(route.dependant))
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise ParameterError(name, f"unknown parameter; known: {', '.join(sorted(known))}")
        if name in seen:
            raise ParameterError(name, "is given more than once")
        seen.add(name)


def _query_names(dependant: "Dependant") -> set[str]:
    inner = (_query_names(each) for each in dependant.dependencies)
    return {field.alias for field in dependant.query_params}.union(*inner)


def _unix_ms(value: object) -> object:
    """Read Unix milliseconds or ISO-8601 (UTC where it names no zone)."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lstrip("-").isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is neither Unix milliseconds nor ISO-8601") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


ServicesDep = Annotated[Services, Depends(services)]
Time = Annotated[int, BeforeValidator(_unix_ms), Field(ge=0, le=9_999_999_999_999)]
StartTime = Annotated[
    Time | None,
    Query(
        description="Event time from which on, inclusive: Unix ms or ISO-8601.",
        examples=["2026-01-01T00:00:00Z"],
    ),
]
EndTime = Annotated[
    Time | None,
    Query(
        description="Event time up to which, exclusive: Unix ms or ISO-8601.",
        examples=[1767225600000],
    ),
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows per page.", examples=[100])]
Cursor = Annotated[
    str | None,
    Query(description="`next_cursor` of the page before; same filters.", max_length=500),
]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


async def event_filter(
    user: Annotated[str | None, Query(min_length=1, max_length=256, examples=["alice"])] = None,
    event_type: Annotated[
        str | None, Query(min_length=1, max_length=64, examples=["auth_attempt"])
    ] = None,
    status: Annotated[
        Literal["success", "failed", "blocked", "pending"] | None, Query(examples=["failed"])
    ] = None,
    source_ip: Annotated[
        str | None, Query(min_length=1, max_length=256, examples=["10.0.0.7"])
    ] = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
) -> EventFilter:
    """Return the conditions on events that a request asks for."""
    check_order("start_time", start_time, "end_time", end_time)
    return EventFilter(
        user=user,
        event_type=event_type,
        status=status,
        source_ip=source_ip,
        start_time=start_time,
        end_time=end_time,
    )


async def alert_filter(
    severity: Annotated[Severity | None, Query(examples=["HIGH"])] = None,
    user: Annotated[str | None, Query(min_length=1, max_length=256, examples=["alice"])] = None,
    rule: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=256,
            description="Rule id or alert type.",
            examples=["SUSPICIOUS_LOGIN_PATTERN"],
        ),
    ] = None,
    resolved: Annotated[bool | None, Query(examples=[False])] = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
    status: Annotated[
        Literal["open", "acknowledged", "resolved"] | None,
        Query(description="Where its case stands.", examples=["open"]),
    ] = None,
    verdict: Annotated[
        Literal["true_positive", "false_positive"] | None,
        Query(description="What an analyst marked it as.", examples=["false_positive"]),
    ] = None,
    assignee: Annotated[str | None, Query(min_length=1, max_length=100, examples=["dana"])] = None,
    suppressed: Annotated[
        bool | None, Query(description="Whether a suppression silences it.", examples=[False])
    ] = None,
) -> AlertFilter:
    """Return the conditions on alerts that a request asks for."""
    check_order("start_time", start_time, "end_time", end_time)
    return AlertFilter(
        severity=severity,
        user=user,
        rule=rule,
        resolved=resolved,
        start_time=start_time,
        end_time=end_time,
        status=status,
        verdict=verdict,
        assignee=assignee,
        suppressed=suppressed,
    )


def check_order(low_name: str, low: float | None, high_name: str, high: float | None) -> None:
    """Refuse a range that ends before it begins.

    Raises:
        ParameterError: Naming the lower bound.
    """
    if low is not None and high is not None and low > high:
        raise ParameterError(low_name, f"must not be greater than {high_name}")


async def snapshot(
    request: Request,
    as_of_run: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
            description="Answer from this batch run alone, as of its seam; see `/api/runs`.",
            examples=["20260101-000500-1a2b"],
        ),
    ] = None,
    as_of: Annotated[
        Time | None,
        Query(
            description="Answer from the newest batch run made at or before this time: Unix ms or "
            "ISO-8601.",
            examples=["2026-01-01T00:00:00Z"],
        ),
    ] = None,
) -> Snapshot:
    """Return what a request is answered from: both views as of now, or an earlier run."""
    # Not by `ServicesDep`: each dependency costs a request some tens of microseconds.
    services: Services = request.app.state.services
    if as_of_run is not None and as_of is not None:
        raise ParameterError("as_of", "goes not together with as_of_run")
    if as_of_run is not None:
        return await services.earlier.as_of_run(as_of_run)
    if as_of is not None:
        return await services.earlier.as_of(as_of)
    return services.views.current()


Explain = Annotated[
    bool,
    Query(
        description="Add `explain`: what each layer says, when one overruled the other, and why.",
        examples=[True],
    ),
]
EventFilterDep = Annotated[EventFilter, Depends(event_filter)]
AlertFilterDep = Annotated[AlertFilter, Depends(alert_filter)]
SnapshotDep = Annotated[Snapshot, Depends(snapshot)]

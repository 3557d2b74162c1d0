"""``/security/backtests``: what a rule file would have raised over the published run."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from batch_layer.error_bodies import answers
from batch_layer.errors import (
    BatchLayerError,
    InvalidRequestError,
    RunNotFoundError,
    ServiceUnavailableError,
)
from batch_layer.security.backtests import MOST_ALERTS, Backtest, Backtests, Status

router = APIRouter(
    prefix="/security/backtests", tags=["security"], responses=answers(BatchLayerError)
)

_CAMEL = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")
_TIME = Field(ge=0, le=9_999_999_999_999)


class BacktestRequest(BaseModel):
    """A rule file and the range whose alerts are asked for."""

    model_config = _CAMEL

    rule: str = Field(min_length=1, max_length=200_000, description="Text of a rule file (Sigma).")
    start_time: Annotated[int, _TIME] = Field(0, description="Unix ms, inclusive.")
    end_time: Annotated[int, _TIME] = Field(9_999_999_999_999, description="Unix ms, exclusive.")


class BacktestBody(BaseModel):
    """How a backtest is doing, and what it found so far."""

    model_config = _CAMEL

    backtest_id: str
    run_id: str = Field(description="Published run whose events it reads.")
    status: Status
    start_time: int
    end_time: int
    events_total: int
    events_done: int
    alerts_total: int
    alerts: list[dict[str, Any]] = Field(
        description=f"Alerts with snake_case keys, {MOST_ALERTS} at most."
    )
    error_message: str | None


def backtests(request: Request) -> Backtests:
    """Return the backtests of this process."""
    found: Backtests = request.app.state.backtests
    return found


BacktestsDep = Annotated[Backtests, Depends(backtests)]


def _body(test: Backtest) -> BacktestBody:
    return BacktestBody(**{name: getattr(test, name) for name in BacktestBody.model_fields})


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    responses=answers(InvalidRequestError, ServiceUnavailableError),
)
def start_backtest(tests: BacktestsDep, request: BacktestRequest) -> BacktestBody:
    """Begin a backtest in the background."""
    if request.start_time >= request.end_time:
        raise InvalidRequestError("startTime", "must lie before endTime")
    return _body(tests.start(request.rule, request.start_time, request.end_time))


@router.get("/{backtest_id}", responses=answers(RunNotFoundError))
def read_backtest(tests: BacktestsDep, backtest_id: str) -> BacktestBody:
    """Say how a backtest is doing, and which alerts it raised so far."""
    return _body(tests.get(backtest_id))


@router.delete("/{backtest_id}", responses=answers(RunNotFoundError))
def cancel_backtest(tests: BacktestsDep, backtest_id: str) -> BacktestBody:
    """Ask a backtest to end; one that has ended stays as it is."""
    return _body(tests.cancel(backtest_id))

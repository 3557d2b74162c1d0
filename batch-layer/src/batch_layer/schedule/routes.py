"""``GET /schedule``."""

from fastapi import APIRouter
from pydantic import BaseModel

from batch_layer.dependencies import ServicesDep
from batch_layer.error_bodies import answers
from batch_layer.errors import ServiceUnavailableError
from batch_layer.schedule.scheduler import JobBody

router = APIRouter(tags=["schedule"])


class ScheduleBody(BaseModel):
    """Every job that is switched on."""

    jobs: list[JobBody]


@router.get("/schedule", responses=answers(ServiceUnavailableError))
def read_schedule(services: ServicesDep) -> ScheduleBody:
    """Say when each job is due and how it last went."""
    return ScheduleBody(jobs=services.schedule.jobs())

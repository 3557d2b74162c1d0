"""Which jobs the settings ask for, and when each is due."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from batch_layer.errors import SettingsError

if TYPE_CHECKING:
    from batch_layer.settings import Settings

SECURITY_RUN, INGESTION, MAINTENANCE = "security-run", "ingestion", "maintenance"


@dataclass(frozen=True, slots=True)
class Timing:
    """When a job is due: ``when`` in words, ``trigger`` (cron or interval) for the scheduler."""

    job: str
    when: str
    trigger: Any  # the library has no types

    def due(self, last_start: datetime | None, now: datetime) -> tuple[datetime, bool]:
        """Return when the job runs next, and whether that makes up for a time that was missed.

        Args:
            last_start: When it last started; None if it never did.
            now: The present.

        Examples:
            >>> hourly = Timing("j", "", IntervalTrigger(hours=1, timezone=UTC))
            >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
            >>> hourly.due(noon - timedelta(minutes=50), noon)[0].isoformat()
            '2026-03-01T12:10:00+00:00'
            >>> hourly.due(noon - timedelta(hours=9), noon) == (noon, True)
            True
        """
        if isinstance(self.trigger, IntervalTrigger):
            following: datetime = (last_start or now) + self.trigger.interval
        else:
            since = now if last_start is None else last_start + timedelta(microseconds=1)
            following = self.trigger.get_next_fire_time(None, since)
        if following <= now and last_start is not None:
            return now, True
        return following, False


def timings(settings: "Settings") -> list[Timing]:
    """Return every job that has a cron expression or an interval; cron takes precedence.

    Raises:
        SettingsError: If an expression cannot be read; the message names the variable.
    """
    asked = (
        (SECURITY_RUN, "schedule", settings.schedule_cron, settings.schedule_minutes),
        (INGESTION, "ingest", settings.ingest_cron, settings.ingest_minutes),
        (MAINTENANCE, "maintenance", settings.maintenance_cron, settings.maintenance_minutes),
    )
    found = []
    for job, setting, cron, minutes in asked:
        if cron:
            variable = f"BATCH_{setting.upper()}_CRON"
            found.append(Timing(job, f"cron {cron}", _cron(variable, cron)))
        elif minutes > 0:
            trigger = IntervalTrigger(seconds=max(1, round(minutes * 60)), timezone=UTC)
            found.append(Timing(job, f"every {minutes:g} minutes", trigger))
    return found


def _cron(variable: str, expression: str) -> Any:  # noqa: ANN401
    try:
        return CronTrigger.from_crontab(expression, timezone=UTC)
    except ValueError as error:
        raise SettingsError(f"{variable}: {expression!r} is no cron expression: {error}") from error

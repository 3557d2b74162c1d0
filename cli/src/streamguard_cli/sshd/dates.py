"""The year that a traditional syslog time leaves out."""

from datetime import datetime, timedelta, tzinfo

from streamguard_cli.errors import LineError

AHEAD = timedelta(days=1)
"""How far a line may lie after the reference: clocks and time zones differ."""

_BACKWARDS = timedelta(days=183)
_FORWARDS = timedelta(days=335)
_LEAP_YEARS = 8
"""At most so many years lie between two 29ths of February."""


class Years:
    """Completes times without a year.

    With the year of the first line known, later lines follow it: a step back by more than half a
    year is a new year, a step forward by more than 335 days a late line of the old one. Otherwise
    each line gets the latest year in which it is not after ``reference``.
    """

    def __init__(self, reference: datetime, first_year: int | None = None) -> None:
        self.reference = reference
        self._year = first_year
        self._latest: datetime | None = None

    def complete(self, month: int, day: int, clock: str, zone: tzinfo) -> datetime:
        """Return the moment of a line.

        Raises:
            LineError: If there is no such day, or no such time of the day.
        """
        text = f"-{month:02}-{day:02}T{clock}"
        if self._year is None:
            return self._latest_before_reference(text, zone)
        moment = _moment(self._year, text, zone)
        if moment is None and self._latest is not None:
            moment = _moment(self._year + 1, text, zone)  # 29 February of the coming year
        if moment is None:
            raise LineError(f"no such time in {self._year}: month {month}, day {day}, {clock}")
        if self._latest is not None:
            step, other = moment - self._latest, None
            if step < -_BACKWARDS:
                other = _moment(self._year + 1, text, zone)
            elif step > _FORWARDS:
                other = _moment(self._year - 1, text, zone)
            moment = other or moment
        if self._latest is None or moment > self._latest:
            self._latest, self._year = moment, moment.year
        return moment

    def _latest_before_reference(self, text: str, zone: tzinfo) -> datetime:
        newest = (self.reference + AHEAD).astimezone(zone).year
        for year in range(newest, newest - _LEAP_YEARS - 1, -1):
            moment = _moment(year, text, zone)
            if moment is not None and moment <= self.reference + AHEAD:
                return moment
        raise LineError(f"no such time in any year: {text.removeprefix('-')}")


def _moment(year: int, text: str, zone: tzinfo) -> datetime | None:
    try:
        return datetime.fromisoformat(f"{year:04}{text}").replace(tzinfo=zone)
    except ValueError:
        return None

"""Instants and lengths of time in words. Instants are in the reader's time zone."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from functools import cache, lru_cache

from django.utils import dateformat, timezone
from django.utils.translation import get_language, ngettext, pgettext
from django.utils.translation import gettext as _

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: If less than this is left, the seconds are shown too.
SECONDS_MATTER = 10 * MINUTE


def when_words(at: datetime, now: datetime | None) -> str:
    """Return an instant in the active time zone. The year is included only if it differs from the year of `now`."""
    zone = timezone.get_current_timezone()
    return _when(at, zone, None if now is None else timezone.localtime(now, zone).year, get_language())


@lru_cache(maxsize=4096)
def _when(at: datetime, zone: tzinfo, this_year: int | None, _language: str | None) -> str:
    # Lists show the same instants again and again.
    local = timezone.localtime(at, zone)
    if this_year == local.year:
        # Translators: an instant of this year, in the letters of Django's "date" filter: Tue 25 Nov, 14:05
        pattern = pgettext("instant of this year", "D j M, H:i")
    else:
        # Translators: the same with its year: Tue 25 Nov 2025, 14:05
        pattern = pgettext("instant of another year", "D j M Y, H:i")
    return f"{dateformat.format(local, pattern)} {zone_words(local)}"


def zone_words(local: datetime) -> str:
    """Return the zone of an aware instant: "CET", or "UTC-3" if the zone's name has no letters."""
    name = local.tzname() or ""
    if name[:1].isalpha():
        return name
    minutes = int((local.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    sign = "−" if minutes < 0 else "+"
    return f"UTC{sign}{hours}:{rest:02d}" if rest else f"UTC{sign}{hours}"


def unit_patterns() -> dict[str, str]:
    """Return the words of relative times.

    countdown.js uses the same words, so that the text does not change on the page.
    """
    return _unit_patterns(get_language())


@cache
def _unit_patterns(_language: str | None) -> dict[str, str]:
    return {
        # Translators: days, hours, minutes and seconds in short, as in "in 3 h 10 min".
        "d": pgettext("short length of time", "%(n)s d"),
        "h": pgettext("short length of time", "%(n)s h"),
        "min": pgettext("short length of time", "%(n)s min"),
        "s": pgettext("short length of time", "%(n)s s"),
        # Translators: a moment to come, as in "in 3 h 10 min".
        "in": _("in %(time)s"),
        # Translators: a moment gone by, as in "2 h ago".
        "ago": _("%(time)s ago"),
        "now": _("just now"),
    }


def relative_words(at: datetime, now: datetime) -> str:
    """Return how far an instant is from `now`. A future instant gets two units, a past instant gets one.

    The future is rounded down: a person who reads "in 3 h 10 min" has at least that long.
    """
    words = unit_patterns()
    seconds = (at - now).total_seconds()
    if seconds > 0:
        return words["in"] % {"time": " ".join(_two_units(int(seconds), words))}
    gone = int(-seconds)
    if gone < MINUTE:
        return words["now"]
    return words["ago"] % {"time": _one_unit(gone, words)}


def _two_units(seconds: int, words: dict[str, str]) -> list[str]:
    if seconds >= DAY:
        pairs = [("d", seconds // DAY), ("h", seconds % DAY // HOUR)]
    elif seconds >= HOUR:
        pairs = [("h", seconds // HOUR), ("min", seconds % HOUR // MINUTE)]
    elif seconds >= SECONDS_MATTER:
        pairs = [("min", seconds // MINUTE)]
    elif seconds >= MINUTE:
        pairs = [("min", seconds // MINUTE), ("s", seconds % MINUTE)]
    else:
        return [words["s"] % {"n": seconds}]
    return [words[unit] % {"n": n} for unit, n in pairs if n]


def _one_unit(seconds: int, words: dict[str, str]) -> str:
    for unit, size in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= size:
            return words[unit] % {"n": seconds // size}
    return words["s"] % {"n": seconds}


def duration_words(seconds: float) -> str:
    """Return a length of time in full: "2 hours", "1 hour 30 minutes". From two days on, it is in days."""
    return _duration(int(seconds), get_language())


@lru_cache(maxsize=1024)
def _duration(seconds: int, _language: str | None) -> str:
    words = {
        "day": lambda n: ngettext("%(n)d day", "%(n)d days", n),
        "hour": lambda n: ngettext("%(n)d hour", "%(n)d hours", n),
        "minute": lambda n: ngettext("%(n)d minute", "%(n)d minutes", n),
        "second": lambda n: ngettext("%(n)d second", "%(n)d seconds", n),
    }
    return " ".join(words[unit](n) % {"n": n} for unit, n in _units(seconds))


def duration_number(seconds: float) -> int:
    """Return the number that decides between singular and plural: "1 hour is", "1 hour 30 minutes are"."""
    units = _units(seconds)
    return units[0][1] if len(units) == 1 else sum(n for _unit, n in units)


def _units(seconds: float) -> list[tuple[str, int]]:
    left, found = int(seconds), []
    if left >= 2 * DAY:
        days, left = divmod(left, DAY)
        found.append(("day", days))
    hours, left = divmod(left, HOUR)
    minutes, left = divmod(left, MINUTE)
    found += [(unit, n) for unit, n in (("hour", hours), ("minute", minutes)) if n]
    return found if found and not left else [*found, ("second", left)]

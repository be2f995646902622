"""The names of the time zones that this machine knows, and the zone that somebody means."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

_CONTINENTS = {"Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}
#: These are parts of Australia, not cities.
_DIRECTIONS = {"north", "south", "west"}


#: Names in the database of zones that are nobody's time zone: a placeholder, and the zone of this machine.
_NOWHERE = {"Factory", "localtime"}


@cache
def names() -> frozenset[str]:
    """Return the names of all time zones. They are cached, because Python opens 600 files to find them."""
    return frozenset(available_timezones() - _NOWHERE)


def of_places() -> list[str]:
    """Return the names to suggest: a continent and a city, and UTC. All other names are second names of these."""
    return ["UTC", *(name for name in sorted(names()) if name.partition("/")[0] in _CONTINENTS)]


def found(text: str) -> str:
    """Return the name of the zone that a name or a city means, such as Europe/Berlin for Berlin. Otherwise return "".

    Letter case does not matter, and a city can have spaces. A city of several zones, such as Istanbul, is not found.
    """
    if text in names():
        return text
    [*others] = _by_word().get("_".join(text.split()).casefold(), ())
    return others[0] if len(others) == 1 else ""


@cache
def _by_word() -> dict[str, set[str]]:
    """Return the zones by their names and by their cities, both without letter case."""
    zones: dict[str, set[str]] = {}
    for name in names():
        continent, _slash, city = name.partition("/")
        zones.setdefault(name.casefold(), set()).add(name)
        city = city.rpartition("/")[2].casefold()
        if continent in _CONTINENTS and city not in _DIRECTIONS:
            zones.setdefault(city, set()).add(name)
    return zones

"""The parts of the bench: what each of them measures, in which world, and how long it may take."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import kept
from bench.kept import World

#: Results of a measurement, and what else is to be said.
Found = tuple[list[Any], list[str]]
_SMALL, _LARGE, _HUGE = 10_000, 1_000_000, 10_000_000


@dataclass(frozen=True)
class Here:
    """What a part gets: the arguments of the command, its world, and a bar that shows the progress."""

    arguments: Namespace
    bar: Any
    #: The directory of the world, for files.
    home: Path
    size: int
    cast: Any = None
    #: The live pairs of a world of grants.
    pairs: Sequence[Any] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    run: Callable[[Here], Found]
    #: In so many seconds it must end: in a whole run, and in one with `--quick`. 0 leaves it out.
    limit: int = 0
    quick: int = 0
    worlds: Callable[[Namespace], list[World]] = field(default=lambda arguments: grants(arguments, _SMALL))
    #: Whether it works in a copy of the world. It can't where the copy would be too large.
    is_copied: bool = True
    #: On which databases it has aims.
    databases: Collection[str] = ("sqlite", "postgresql")


def grants(arguments: Namespace, *sizes: int) -> list[World]:
    """Return the worlds of these numbers of grants, unless others are wanted."""
    return [World("grants", (size,)) for size in arguments.grants or sizes]


def _decided(is_quick: bool) -> list[int]:
    """Return the numbers of grants among which questions are decided."""
    return [_SMALL] if is_quick else [_SMALL, _HUGE if kept.vendor() == "postgresql" else _LARGE]


def _decisions(here: Here) -> Found:
    from bench import decisions

    rounds, seconds = (1, 2) if here.arguments.quick else (2, here.arguments.seconds)
    only = here.arguments.aims
    return decisions.run(here.cast, here.size, here.pairs, seconds=seconds, rounds=rounds, only_aims=only, bar=here.bar)


def _lane(here: Here) -> Found:
    from bench import lane

    return lane.run(here.cast, here.pairs, here.arguments.asked, here.bar), []


def _calls(here: Here) -> Found:
    from bench import calls

    return calls.run(here.cast, here.bar, times=here.arguments.acts // 4, only_aims=here.arguments.aims), []


def _acts(here: Here) -> Found:
    from bench import acts

    return acts.run(here.cast, here.arguments.acts, here.bar), []


def _sweeps(here: Here) -> Found:
    from bench import sweeps

    return sweeps.run(here.cast, here.arguments.due, here.bar, only_aims=here.arguments.aims), []


def _pages(here: Here) -> Found:
    from bench import pages

    asked = here.arguments
    return pages.run(here.cast, here.facts["rows"], here.bar, only=asked.only, each=asked.each)


def _log(here: Here) -> Found:
    from bench import log

    return log.run(here.arguments.entries, here.bar), []


def _evidence(here: Here) -> Found:
    from bench import log

    return log.evidence(here.facts["tenants"], here.bar), [here.facts["appended"]]


def _proof(here: Here) -> Found:
    from bench import log

    return log.proven(here.facts["tenant"], here.size, here.bar), []


def _log_search(here: Here) -> Found:
    from bench import log_search

    found, notes = log_search.run(here.facts["tenant"], here.size, here.bar)
    return found, [*here.facts["notes"], *notes]


def _gates(here: Here) -> Found:
    from bench import gates

    return gates.run(here.cast, here.arguments.seconds, here.bar, only_aims=here.arguments.aims)


def _streams(here: Here) -> Found:
    from bench import streams

    asked = here.arguments
    return streams.run(here.cast, asked.held, asked.windows, asked.cuts, here.bar, only_aims=asked.aims)


def _breaks(here: Here) -> Found:
    from bench import breaks

    return [], breaks.run(here.cast, here.arguments.held, here.bar, only=here.arguments.only)


def _rest(here: Here) -> Found:
    from bench import rest

    return rest.run(here.home, here.arguments.watched, here.bar)


def _slow_clients(here: Here) -> Found:
    from bench import slow_clients

    found = []
    for count in here.arguments.slow:
        found += slow_clients.run(here.cast, count, seconds=7, bar=here.bar)
    return found, []


def _guards(here: Here) -> Found:
    from bench import guards

    return guards.run(here.arguments.asked * 10, with_peers=here.arguments.peers, bar=here.bar)


def _revoked(here: Here) -> Found:
    from bench import revoked
    from tests.cast import gather

    # With a thousand tenants, the product would first have to send mails for minutes.
    return revoked.run(gather(), here.arguments.revocations, here.bar)


def _reported(here: Here) -> Found:
    from bench import reported

    return reported.run(here.cast, here.arguments.batches, here.bar), []


def _metrics(here: Here) -> Found:
    from bench import counted

    return counted.run(here.cast, here.arguments.seconds, here.bar)


def _sign_in(here: Here) -> Found:
    from bench import sign_in

    return sign_in.run(here.arguments.signs, here.bar)


def _backup(here: Here) -> Found:
    from bench import backup

    return backup.run(here.arguments.entries, here.home, here.bar)


def _sizing(here: Here) -> Found:
    from bench import sizing, world

    # With a thousand tenants, it would send their mails for many minutes, too.
    return sizing.run(world.make_small(here.home / "content"), here.arguments.seconds, here.bar)


def _growth(here: Here) -> Found:
    from bench import growth

    asked = here.arguments
    return growth.run(here.cast, asked.minutes, asked.rate, Path(asked.plot), here.bar)


def _empty(_arguments: Namespace) -> list[World]:
    return [World("empty", ())]


#: Those with a limit have aims in docs/performance.md. The others run only if they are named. Those whose time depends
#: most on the machine come last, because they get the time that the others have left.
PARTS = {
    "calls": Part(_calls, 28, 14),
    "acts": Part(_acts, 20, 10),
    "proof": Part(_proof, 8, 7, lambda asked: [World("tree", (asked.proven,))], is_copied=False),
    "log-search": Part(_log_search, 22, worlds=lambda asked: [World("log", (asked.entries,))], is_copied=False),
    "gates": Part(_gates, 36, databases=("postgresql",)),
    "log": Part(_log, 36, worlds=_empty),
    "rest": Part(_rest, 125, worlds=_empty),
    "decisions": Part(_decisions, 85, 40, lambda asked: grants(asked, *_decided(asked.quick)), is_copied=False),
    "evidence": Part(_evidence, 85, worlds=lambda asked: [World("evidence", (asked.entries,))], is_copied=False),
    "streams": Part(_streams, 115),
    "pages": Part(_pages, 110, worlds=lambda asked: [World("customer", (asked.rows, asked.entries))], is_copied=False),
    "sweeps": Part(_sweeps, 150, 15, lambda asked: grants(asked, _SMALL if asked.quick else _LARGE)),
    "lane": Part(_lane),
    "guards": Part(_guards),
    "revoked": Part(_revoked, worlds=_empty),
    "reported": Part(_reported),
    "metrics": Part(_metrics),
    "sign-in": Part(_sign_in),
    "slow-clients": Part(_slow_clients),
    "breaks": Part(_breaks),
    "backup": Part(_backup, worlds=_empty),
    "sizing": Part(_sizing, worlds=_empty),
    "growth": Part(_growth),
}


# --- Worlds -----------------------------------------------------------------------------------------------------


def make(world: World, home: Path, bar: Any) -> dict[str, Any]:
    """Make the rows of a world in the empty database of the settings. Return what a part must know about them."""
    from bench import grants, log, log_search, page_world
    from bench import world as making

    if world.kind == "grants":
        grants.make(making.make(home / "content"), world.size, bar)
    elif world.kind == "customer":
        rows, entries = world.sizes
        return {"rows": page_world.make(home / "content", rows, entries, bar)}
    elif world.kind == "log":
        return log_search.make(world.size, bar)
    elif world.kind == "evidence":
        return log.make(world.size, bar)
    elif world.kind == "tree":
        return {"tenant": str(log.grow(world.size, bar))}
    return {}


def complete(world: World, home: Path, facts: Mapping[str, Any]) -> None:
    """Make what a world lacks that an earlier version has made."""
    from bench import page_world

    if world.kind == "customer":
        page_world.index(here(world, home, facts, Namespace(), None).cast)


def here(world: World, home: Path, facts: Mapping[str, Any], arguments: Namespace, bar: Any) -> Here:
    """Return what a part in this world gets."""
    from bench import grants
    from tests import cast

    _lift_limits()
    if world.kind == "grants":
        return Here(arguments, bar, home, world.size, cast.find(), grants.open_again(), facts)
    people = cast.find() if world.kind == "customer" else None
    return Here(arguments, bar, home, world.size, people, (), facts)


def _lift_limits() -> None:
    """Remove the limits on an engineer's access requests and on a tenant's clients."""
    from requests_app.domain import limits
    from requests_app.operations import integrations

    integrations.MOST_CLIENTS = limits.PENDING_MAX = limits.HOURLY_MAX = sys.maxsize

"""Finds problems in the declarations. The start-up check stops the process if there is one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from requests_app.domain.acts.declaration import Act, Comment, Door, Event, Field, Kind, Noun, Party
from requests_app.domain.states import Timing

_ACT = re.compile(r"[a-z]+(_[a-z]+)*")
_EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
#: The interfaces that offer an act to people and show its result.
_OFFERING = frozenset({Door.PAGES, Door.ADMIN})
#: The interfaces that build a form or a body from the declaration, and the names that are reserved there.
_ASKING = frozenset({Door.PAGES, Door.API})
_OF_FORMS = ("comment", "next")
#: The humans whom the kernel knows of a row, besides the person who acts.
_PARTIES: dict[Noun, frozenset[Party]] = {
    Noun.ACCESS_REQUEST: frozenset({Party.REQUESTER, Party.DECIDER}),
    Noun.PERSON: frozenset({Party.SUBJECT}),
    Noun.PROPOSAL: frozenset({Party.PROPOSER}),
}
#: Rows that always belong to a tenant, and to none of its people.
_OF_TENANTS = frozenset({Noun.ACCESS_REQUEST, Noun.TICKET})


def problems(acts: Iterable[Act], events: Iterable[Event]) -> Iterator[str]:
    """Yield a sentence about each problem, with the name of the act or the event."""
    acts, events = list(acts), list(events)
    yield from _twice("act", [act.name for act in acts])
    yield from _twice("event", events)
    routes = [f"{act.noun} {act.route.word}" for act in acts if act.route is not None]
    yield from _twice("route", routes)
    yield from _twice("proposal", [proposal.name for act in acts for proposal in act.proposes])
    yield from (f"{event} does not have the form subject.past" for event in events if not _EVENT.fullmatch(event))
    for act in acts:
        if not _ACT.fullmatch(act.name):
            yield f"{act.name} is not a name for an act"
        if act.scope is not None and act.any_token:
            yield f"{act.name} accepts any token, but it names a scope"
        if (act.scope is not None or act.any_token) and act.tried is None:
            yield f"a token can do {act.name}, but its refusal has no words"
        yield from _of_people(act)
        yield from _of_route(act)
        yield from _of_inputs(act)
        yield from _of_moves(act)
        yield from (f"{act.name} writes {event}, which is not declared" for event in act.events if event not in events)
        for proposal in act.proposes:
            if not proposal.by_staff and proposal.name != act.name:
                yield f"{act.name} proposes {proposal.name}: a tenant's proposal has the name of its act"


def _of_people(act: Act) -> Iterator[str]:
    """Yield the problems in what an act declares about who can do it, and about where it is offered."""
    if not (act.roles or act.is_holders or act.is_public):
        yield f"nobody is allowed to {act.name}"
    if act.is_public and (act.roles or act.provider_roles or act.is_holders or act.separate_from):
        yield f"anybody can try {act.name}, but it names who is allowed"
    if act.provider_roles and not act.roles:
        yield f"{act.name} names only roles of the provider"
    if act.noun in _OF_TENANTS and (act.is_holders or act.provider_roles):
        yield f"{act.name} names an owner or the provider, but a row of its kind belongs to a tenant"
    for party in sorted(set(act.separate_from) - _PARTIES.get(act.noun, frozenset())):
        yield f"{act.name} excludes the {party}, but a row of its kind has none"
    if not act.doors:
        yield f"{act.name} has no door"
    if act.doors & _OFFERING and (act.tried is None or act.title is None) and not act.own_order:
        yield f"{act.name} is offered to people, but it has no words"
    if act.done and not act.doors & _OFFERING:
        yield f"{act.name} says what was done, but nobody reads it"


def _of_route(act: Act) -> Iterator[str]:
    if act.route is not None and (Door.API not in act.doors or act.scope is None):
        yield f"{act.name} has a route, but no call of the API with a scope"
    if act.during and (act.noun is not Noun.ACCESS_REQUEST or act.title is None or not act.events):
        yield f"{act.name} names states, but it is no act on an access request with a title and an event"


def _of_inputs(act: Act) -> Iterator[str]:
    names = [each.name for each in act.inputs]
    yield from (f"{act.name} takes the input {name} {n} times" for name, n in Counter(names).items() if n > 1)
    if act.comment is not Comment.NONE and "note" in names:
        yield f"{act.name} takes a comment, and also an input with this name"
    if act.doors & _ASKING:
        taken = [name for name in _OF_FORMS if name in names]
        yield from (f"{act.name} takes an input with the name {name}, which a form uses itself" for name in taken)
    yield from (f"{act.name}: {problem}" for each in act.inputs for problem in _of_field(each))


def _of_field(each: Field) -> Iterator[str]:
    if (each.of is not None) is not (each.kind is Kind.ID):
        yield f"the input {each.name} is an id without a noun, or names a noun and is not an id"
    if bool(each.choices) is not (each.kind is Kind.CHOICE):
        yield f"the input {each.name} has choices and is not a choice, or is a choice without choices"
    if each.kind in (Kind.LINE, Kind.NAME, Kind.TEXT) and each.at_most < max(each.at_least, 1):
        yield f"the input {each.name} has no limit"


def _of_moves(act: Act) -> Iterator[str]:
    if act.moves is None:
        return
    if act.during:
        yield f"{act.name} moves a state, but it also names states that it leaves as they are"
    if act.moves.sources and act.inputs:
        yield f"{act.name} moves a state, and the kernel reads no inputs of such an act"
    if act.title is None or not act.events or (len(act.events) > 1 and not act.own_order):
        yield f"{act.name} moves a state, but it does not have one title and one event"
    if not act.moves.targets:
        yield f"{act.name} leads to no state"
    if act.moves.is_decision and act.moves.timing is not Timing.BEFORE:
        yield f"{act.name} decides without a deadline"
    if act.moves.is_decision and not {Party.REQUESTER, Party.DECIDER} <= set(act.separate_from):
        yield f"{act.name} decides, but it does not exclude the requester and the decider"


def _twice(kind: str, names: Iterable[str]) -> Iterator[str]:
    yield from (f"the {kind} {name} is declared {n} times" for name, n in Counter(map(str, names)).items() if n > 1)

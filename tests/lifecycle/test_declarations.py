"""Every act and every event is declared once, and each operation passes the declaration of its act to the kernel."""

from __future__ import annotations

import ast
import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.utils.translation import gettext_lazy as _

from audit_app.meanings import UPDATED
from requests_app import doors, operations
from requests_app.domain import acts
from requests_app.domain.actors import Role
from requests_app.domain.acts import soundness
from requests_app.domain.acts.declaration import (
    Act,
    Comment,
    Door,
    Event,
    Field,
    Kind,
    MailWords,
    Moves,
    Noun,
    Party,
    Proposal,
    Route,
    Tell,
    has,
    is_actor,
    says,
)
from requests_app.domain.scopes import Scope
from requests_app.domain.states import State, Timing
from requests_app.messages import topics
from requests_app.operations._announced import ANNOUNCED
from requests_app.operations._second import CONTROLLED
from requests_app.operations._subjects import FINDERS, FOUND_BY_THE_ACT

WORDS = _("words")
WALKERS = frozenset({Role.ENGINEER})
MOVES = Moves(sources=frozenset({State.OPEN}), targets=(State.CLOSED,))
PAGES = frozenset({Door.PAGES})
PARTIES = (Party.REQUESTER, Party.DECIDER)
OPEN_AND_CLOSED = "anybody can try walk, but it names who is allowed"
#: Functions of the kernel that take an act.
KERNEL = frozenset({"act", "change", "change_ticket", "own_act", "perform", "swept"})
#: The sweep and the restore do these acts for many rows with a few statements.
SWEPT = frozenset({"expire", "close", "restored", "note_set_back"})
#: The decision lane does these acts for many callers at once, in the order of the kernel.
IN_THE_LANE = frozenset({"allow_access", "pass_gate"})
#: Only the system does these acts.
NEVER_TRIED = frozenset(
    {"expire", "close", "apply_proposal", "park_mail", "note_checks", "note_outcome", "give_up_webhook", "run_import"}
    | {"note_set_back", "expire_draft", "roll_token_keys", "give_up_stream", "report_failing_stream", "cut_at_gate"}
)


def event(name: str = "thing.done") -> Event:
    return Event(name, label=WORDS, sentence=WORDS, siem=UPDATED)


def walk(name: str = "walk", **more: Any) -> Act:
    """Return a correct declaration of an act that engineers do on a ticket. `more` can make fields of it wrong."""
    sound: dict[str, Any] = {"noun": Noun.TICKET, "roles": WALKERS, "doors": frozenset({Door.API})}
    return Act(name, **{**sound, **more})


def decision(*, separate_from: tuple[Party, ...], timing: Timing = Timing.ANY) -> Act:
    moves = replace(MOVES, is_decision=True, timing=timing)
    return walk(noun=Noun.ACCESS_REQUEST, title=WORDS, events=(event(),), moves=moves, separate_from=separate_from)


def test_the_declarations_are_sound() -> None:
    assert list(acts.problems()) == []


@pytest.mark.parametrize(
    ("declared", "events", "problem"),
    [
        ([walk(), walk()], [], "the act walk is declared 2 times"),
        ([], [event(), event()], "the event thing.done is declared 2 times"),
        (
            [walk(name, proposes=(Proposal("walk", WORDS, by_staff=True),)) for name in ("walk", "run")],
            [],
            "the proposal walk is declared 2 times",
        ),
        ([], [event("Thing done")], "Thing done does not have the form subject.past"),
        ([walk(route=Route("walk", "Walk"))], [], "walk has a route, but no call of the API with a scope"),
        (
            [walk(name, route=Route("go", "Go"), scope=Scope.LOG_READ, tried=WORDS) for name in ("walk", "run")],
            [],
            "the route ticket go is declared 2 times",
        ),
        (
            [walk(title=WORDS, events=(event(),), during=frozenset({State.OPEN}))],
            [event()],
            "walk names states, but it is no act on an access request with a title and an event",
        ),
        (
            [walk(noun=Noun.ACCESS_REQUEST, events=(event(),), during=frozenset({State.OPEN}))],
            [event()],
            "walk names states, but it is no act on an access request with a title and an event",
        ),
        (
            [walk(noun=Noun.ACCESS_REQUEST, title=WORDS, during=frozenset({State.OPEN}))],
            [],
            "walk names states, but it is no act on an access request with a title and an event",
        ),
        ([walk("Walk away")], [], "Walk away is not a name for an act"),
        (
            [walk(scope=Scope.LOG_READ, any_token=True, tried=WORDS)],
            [],
            "walk accepts any token, but it names a scope",
        ),
        ([walk(scope=Scope.LOG_READ)], [], "a token can do walk, but its refusal has no words"),
        ([walk(events=(event(),))], [], "walk writes thing.done, which is not declared"),
        (
            [walk(proposes=(Proposal("run", WORDS),))],
            [],
            "walk proposes run: a tenant's proposal has the name of its act",
        ),
        ([walk(roles=frozenset())], [], "nobody is allowed to walk"),
        ([walk(is_public=True)], [], "anybody can try walk, but it names who is allowed"),
        (
            [walk(noun=Noun.PERSON, roles=frozenset(), is_public=True, separate_from=(Party.SUBJECT,))],
            [],
            OPEN_AND_CLOSED,
        ),
        (
            [walk(separate_from=(Party.DECIDER,))],
            [],
            "walk excludes the decider, but a row of its kind has none",
        ),
        (
            [walk(noun=Noun.TOKEN, roles=frozenset(), is_holders=True, provider_roles=WALKERS)],
            [],
            "walk names only roles of the provider",
        ),
        (
            [walk(is_holders=True)],
            [],
            "walk names an owner or the provider, but a row of its kind belongs to a tenant",
        ),
        ([walk(doors=frozenset())], [], "walk has no door"),
        ([walk(doors=PAGES, title=WORDS)], [], "walk is offered to people, but it has no words"),
        ([walk(done=WORDS)], [], "walk says what was done, but nobody reads it"),
        ([walk(inputs=(Field("far", Kind.FLAG), Field("far", Kind.FLAG)))], [], "walk takes the input far 2 times"),
        (
            [walk(comment=Comment.OPTIONAL, inputs=(Field("note", Kind.FLAG),))],
            [],
            "walk takes a comment, and also an input with this name",
        ),
        (
            [walk(inputs=(Field("next", Kind.FLAG),))],
            [],
            "walk takes an input with the name next, which a form uses itself",
        ),
        (
            [walk(inputs=(Field("comment", Kind.FLAG),))],
            [],
            "walk takes an input with the name comment, which a form uses itself",
        ),
        (
            [walk(inputs=(Field("to", Kind.ID),))],
            [],
            "walk: the input to is an id without a noun, or names a noun and is not an id",
        ),
        (
            [walk(inputs=(Field("to", Kind.CHOICE),))],
            [],
            "walk: the input to has choices and is not a choice, or is a choice without choices",
        ),
        ([walk(inputs=(Field("to"),))], [], "walk: the input to has no limit"),
        (
            [walk(events=(event(),), moves=MOVES)],
            [event()],
            "walk moves a state, but it does not have one title and one event",
        ),
        (
            [
                walk(
                    title=WORDS,
                    noun=Noun.ACCESS_REQUEST,
                    events=(event(),),
                    moves=MOVES,
                    during=frozenset({State.OPEN}),
                )
            ],
            [event()],
            "walk moves a state, but it also names states that it leaves as they are",
        ),
        (
            [walk(title=WORDS, events=(event(),), moves=MOVES, inputs=(Field("far", Kind.FLAG),))],
            [event()],
            "walk moves a state, and the kernel reads no inputs of such an act",
        ),
        (
            [walk(title=WORDS, events=(event(),), moves=replace(MOVES, targets=()))],
            [event()],
            "walk leads to no state",
        ),
        (
            [decision(separate_from=PARTIES)],
            [event()],
            "walk decides without a deadline",
        ),
        (
            [decision(separate_from=PARTIES[:1], timing=Timing.BEFORE)],
            [event()],
            "walk decides, but it does not exclude the requester and the decider",
        ),
    ],
)
def test_an_unsound_declaration_is_found(declared: list[Act], events: list[Event], problem: str) -> None:
    assert list(soundness.problems(declared, events)) == [problem]


def _given_to_the_kernel(functions: frozenset[str] = KERNEL) -> set[str]:
    """Return the names of the declarations that operations pass to these functions of the kernel."""
    found = set()
    for path in sorted(Path(operations.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in functions:
                leaves = [leaf for argument in node.args for leaf in ast.walk(argument)]
                found |= {leaf.id for leaf in leaves if isinstance(leaf, ast.Name) and leaf.id.isupper()}
    return found


def test_every_act_is_given_to_the_kernel_somewhere() -> None:
    """The page of a log records the refusals of watching it. The decision lane answers many questions at once."""
    given = _given_to_the_kernel()
    assert {act.name for act in acts.ACTS.values() if act.name.upper() not in given} == {"watch", *IN_THE_LANE}


def test_only_an_act_with_a_reason_has_its_own_order() -> None:
    """All other acts leave the order of the checks to the kernel."""
    with_own_order = {name for name, act in acts.ACTS.items() if act.own_order}
    given = {name.lower() for name in _given_to_the_kernel(frozenset({"act", "swept"}))}
    assert (given & acts.ACTS.keys()) - with_own_order == SWEPT
    assert with_own_order - given <= {"watch", "step_up", *IN_THE_LANE}


def test_every_act_that_somebody_can_try_says_what_was_tried() -> None:
    """Only acts of the system have no such text: they are never refused, so no entry needs it.

    An entry puts the text after "tried", so it begins with "to".
    """
    assert {name for name, act in acts.ACTS.items() if act.tried is None} == NEVER_TRIED
    tried = {name: str(act.tried) for name, act in acts.ACTS.items() if act.tried is not None}
    assert [name for name, words in tried.items() if not words.startswith("to ")] == []


def test_every_kind_of_row_is_found_in_one_place_or_says_why_not() -> None:
    assert FINDERS.keys() ^ FOUND_BY_THE_ACT.keys() == set(Noun)


def test_each_act_tells_a_known_topic_to_known_people(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(topics.problems()) == []
    tells = (Tell("notify.nothing", ("customer",)), Tell("notify.mute", ("nobody", "row.assignee")))
    monkeypatch.setattr(topics, "ACTS", {**acts.ACTS, "walk": walk(tells=tells)})
    assert list(topics.problems()) == [
        "walk sends notify.nothing, which is not a topic",
        "walk sends a message to nobody, which is not an audience",
        "walk sends a message to row.assignee, but the message lacks its own words, or roles",
    ]
    mail = Tell("notify.walk", ("tenant",), MailWords(subject=WORDS, headline=WORDS, lead=(WORDS,), link=WORDS))
    monkeypatch.setattr(topics, "ACTS", {**acts.ACTS, "walk": walk(noun=Noun.TENANT, tells=(mail,))})
    assert list(topics.problems()) == ["walk sends notify.walk, but a mail about such a row needs templates"]
    monkeypatch.setattr(topics, "ACTS", {name: act for name, act in acts.ACTS.items() if "mute" not in name})
    assert list(topics.problems()) == ["no act sends a message about notify.mute"]


def test_no_door_types_the_message_after_an_act() -> None:
    """Pages take the message from the act's declaration, and don't repeat it."""
    messages = {str(act.done) for act in acts.ACTS.values() if act.done}
    typed = {
        f"{path.name}:{node.lineno} {node.value}"
        for path in sorted(Path(doors.__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in messages
    }
    assert typed == set()


def test_every_proposable_change_has_a_body_that_makes_it() -> None:
    tenants = {name for name, proposal in acts.PROPOSALS.items() if not proposal.by_staff}
    assert (tenants, acts.PROPOSALS.keys() - tenants) == (set(CONTROLLED), set(ANNOUNCED))


# --- Names of events are text ------------------------------------------------------------------------------


def test_an_event_compares_with_the_names_in_the_log() -> None:
    name: str = event()
    assert name == "thing.done"
    assert {name: 1}["thing.done"] == 1
    assert f"{event()}" == "thing.done"
    assert json.dumps([event()]) == '["thing.done"]'


def test_an_event_is_pickled_as_its_name_and_copied_as_itself() -> None:
    once = event()
    again = pickle.loads(pickle.dumps(once))
    assert (again, type(again)) == ("thing.done", str)
    assert copy.copy(once) is once
    assert copy.deepcopy({"event": once})["event"] is once


@pytest.mark.parametrize(
    ("condition", "detail", "applies"),
    [
        (has("part"), {"part": "2"}, True),
        (has("part"), {"part": ""}, False),
        (has("part"), {}, False),
        (has("item", ""), {"item": ""}, True),
        (has("item", ""), {}, False),
        (has("how", "reset"), {"how": "change"}, False),
        (has("action", "download", and_also="item"), {"action": "download", "item": "1"}, True),
        (has("action", "download", and_also="item"), {"action": "download", "item": ""}, False),
        (says("rule"), {"rule": None}, True),
        (says("rule"), {}, False),
        (is_actor("assignee"), {"assignee": "7"}, True),
        (is_actor("assignee"), {"assignee": "8"}, False),
        (is_actor("assignee"), {}, False),
    ],
)
def test_a_condition_applies_by_the_detail(condition, detail: dict[str, object], applies: bool) -> None:
    assert bool(condition(detail, {"id": "7"})) is applies

"""The product's rules over a whole log: the verifier reports what can never have happened, and nothing else."""

import copy
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.offenders import collected
from tests.verify.runs import is_good, problems, verdict
from tests.verify.writer import (
    CUSTOMER,
    ENGINEER,
    PROVIDER,
    SYSTEM,
    Log,
    bundle,
    canonical,
    entry,
    instant,
    pruning,
    story,
)
from verify import lockbox_verify as lv

AR, GRANT, MAILBOX, OTHER, CLIENT = (f"0000000{each}-0000-4000-8000-000000000000" for each in (1, 2, 3, 4, 5))
HOUR = 3_600_000_000
#: What the verifier reports about a decision without a client and without a deputy.
BY_ONESELF = {"client": None, "deputy_for": None}
ASKED: dict[str, Any] = {
    "level": "read", "resources": [{"id": MAILBOX, "kind": "mailbox", "name": "finance@contoso.example"}],
    "window_for": 3600, "justification": "The index skips messages.", "reference": "AR-1",
}  # fmt: skip

Entries = list[dict[str, Any]]


def life(asked: dict[str, Any] | None = None) -> Entries:
    """Return the entries of one access request, from its submission to the end of its window, a minute apart."""
    report = ASKED if asked is None else asked
    digest = hashlib.sha256(canonical(report)).hexdigest()
    decided = {"digest": digest, "reference": "AR-1"}
    about: dict[str, Any] = {"request": AR, "subject": AR}
    look: dict[str, Any] = {"request": AR, "subject": GRANT, "detail": {"resource": MAILBOX, "item": "7"}}
    to_customer = {**decided, "state": "PENDING_CUSTOMER"}
    steps: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("access_request.submitted", ENGINEER, {**about, "detail": report}),
        ("access_request.approved_by_provider", PROVIDER, {**about, "detail": to_customer}),
        ("access_request.approved_by_customer", CUSTOMER,
         {**about, "detail": {**decided, "state": "OPEN", "grant": GRANT, "opens_at": instant(2 * 60_000_000),
                              "closes_at": instant(2 * 60_000_000 + HOUR)}}),
        ("content.list_asked", ENGINEER, look),
        ("content.listed", ENGINEER, look),
        ("content.opened", ENGINEER, look),
        ("grant.released", ENGINEER, {**about, "detail": {"grant": GRANT, "state": "CLOSED"}}),
        ("content.cut", ENGINEER, look),
    ]  # fmt: skip
    return [entry(seq, seq * 60_000_000, event, actor=actor, **rest) for seq, (event, actor, rest) in enumerate(steps)]


def practised() -> Entries:
    """Return the entries of a practice request. Each of them has the mark."""
    entries = life({**ASKED, "practice": True, "resources": [{**ASKED["resources"][0], "locator": ":practice"}]})
    for each in entries:
        each["detail"]["practice"] = True
    return entries


def judged(entries: Entries, folder: Path) -> dict[str, Any]:
    for seq, each in enumerate(entries):
        each["seq"] = seq
    return verdict(bundle(Log.of(entries)), folder)


def test_a_life_by_the_rules_is_good(tmp_path: Path) -> None:
    data = judged(life(), tmp_path)
    assert is_good(data)
    assert data["rules"] == {"looks": 3, "windows": 1, "by_provider_alone": 0, "downloads": 0}


def test_practice_is_reported_by_itself_and_in_no_other_number(tmp_path: Path) -> None:
    data = judged(practised(), tmp_path)
    assert is_good(data)
    none = {"looks": 0, "windows": 0, "by_provider_alone": 0, "downloads": 0}
    assert data["rules"] == {**none, "practice_windows": 1, "practice_looks": 3}
    words = "\n".join(lv.in_words(data))
    assert "PRACTICE    1 more windows and 3 more accesses are practice: their content is made up" in words
    assert "access_request.approved_by_customer (practice) by" in words


def test_entry_of_practice_about_a_real_access_request_is_bad_and_the_reverse(tmp_path: Path) -> None:
    for whole in (life, practised):
        for place, one in enumerate(whole()):
            if place == 0 or one["event"] == "content.cut":
                continue
            entries = json.loads(json.dumps(whole()))
            detail = entries[place]["detail"]
            detail.update(practice=True) if whole is life else detail.pop("practice")
            [(index, why)] = problems(judged(entries, tmp_path))
            assert (index, "“practice”" in why) == (place, True), (whole.__name__, one["event"])


@pytest.mark.parametrize("locators", [["contoso/mail/finance"], [":practice", "contoso/mail/finance"], [None]])
def test_a_log_that_calls_real_content_practice_is_bad(tmp_path: Path, locators: list[str | None]) -> None:
    place = [{"locator": locator} if locator else {"external_id": "7"} for locator in locators]
    asked = {**ASKED, "practice": True, "resources": [{**ASKED["resources"][0], **each} for each in place]}
    entries = life(asked)
    for each in entries:
        each["detail"]["practice"] = True
    assert (0, "an access request says “practice”, but names real content, or the reverse") in problems(
        judged(entries, tmp_path)
    )


def test_a_log_that_calls_practice_content_real_is_bad(tmp_path: Path) -> None:
    resources = [{**ASKED["resources"][0], "locator": ":practice"}]
    [(index, why), *_rest] = problems(judged(life({**ASKED, "resources": resources}), tmp_path))
    assert (index, "“practice”" in why) == (0, True)


def test_evidence_of_one_practice_request_begins_with_the_mark(tmp_path: Path) -> None:
    entries = practised()
    for seq, each in enumerate(entries):
        each["seq"] = seq
    data = verdict(bundle(Log.of(entries), kind="access_request", request=AR), tmp_path)
    assert any(each.startswith("PRACTICE ") for each in lv.in_words(data))
    assert not any("PRACTICE" in each for each in lv.in_words(judged(life(), tmp_path)))


def test_a_window_with_only_the_provider_s_approval_is_counted_and_not_judged(tmp_path: Path) -> None:
    entries = life()
    opened = entries.pop(2)
    entries[1]["detail"] |= opened["detail"]
    data = judged(entries, tmp_path)
    assert is_good(data)
    assert data["rules"] == {"looks": 3, "windows": 1, "by_provider_alone": 1, "downloads": 0}


@pytest.mark.parametrize(
    "event", ["access_request.withdrawn", "access_request.expired", "access_request.denied_by_provider"]
)
def test_an_access_request_may_end_before_it_opens(event: str, tmp_path: Path) -> None:
    entries = life()[:1]
    digest = hashlib.sha256(canonical(ASKED)).hexdigest()
    entries.append(entry(1, 10**8, event, actor=PROVIDER, request=AR, subject=AR, detail={"digest": digest}))
    assert is_good(judged(entries, tmp_path))


@pytest.mark.parametrize("event", ["grant.released", "grant.revoked", "grant.closed"])
def test_every_way_to_close_a_window_ends_it(event: str, tmp_path: Path) -> None:
    entries = life()
    entries[6]["event"] = event
    assert is_good(judged(entries, tmp_path))
    entries.append(copy.deepcopy(entries[5]))
    entries[-1]["at"] = instant(8 * 60_000_000)
    assert problems(judged(entries, tmp_path)) == [(8, "content was opened outside a window")]


def _allowed(entries: Entries, action: str, **change: Any) -> Entries:
    """Change the entry about an opened item into an entry about an allowed access through another service."""
    entries[5] |= {"event": "content.access_allowed", **change}
    return _detail(entries, 5, action=action)


def test_an_access_permitted_to_another_service_counts_as_an_access(tmp_path: Path) -> None:
    for entries in (_allowed(life(), "read"), _allowed(life({**ASKED, "level": "names"}), "list")):
        data = judged(entries, tmp_path)
        assert is_good(data)
        assert data["rules"] == {"looks": 3, "windows": 1, "by_provider_alone": 0, "downloads": 0}


def test_a_download_is_its_own_kind_of_access(tmp_path: Path) -> None:
    entries = life()
    opened = next(index for index, each in enumerate(entries) if each["event"] == "content.opened")
    entries[opened]["event"] = "content.downloaded"
    data = judged(entries, tmp_path)
    assert is_good(data)
    assert data["rules"] == {"looks": 3, "windows": 1, "by_provider_alone": 0, "downloads": 1}
    assert "1 of these accesses were downloads" in "\n".join(lv.in_words(data))
    names_only = life({**ASKED, "level": "names"})
    names_only[opened]["event"] = "content.downloaded"
    assert problems(judged(names_only, tmp_path)) == [(opened, "content was downloaded in a window for names only")]
    assert is_good(judged(_allowed(life(), "download"), tmp_path))


def test_a_life_in_a_window_for_viewing_is_good_if_no_file_was_given(tmp_path: Path) -> None:
    viewed = [life({**ASKED, "level": "view"}), _allowed(life({**ASKED, "level": "view"}), "view")]
    for number, entries in enumerate(viewed):
        (folder := tmp_path / str(number)).mkdir()
        assert is_good(judged(entries, folder))


def test_a_change_is_good_only_in_a_window_for_it_and_is_counted(tmp_path: Path) -> None:
    for number, action in enumerate(("act_as", "download", "read", "view", "list")):
        (folder := tmp_path / str(number)).mkdir()
        data = judged(_allowed(life({**ASKED, "level": "act_as"}), action), folder)
        assert is_good(data), action
        assert data["rules"].get("changes") == (1 if action == "act_as" else None)
        assert ("1 of these accesses could change things" in "\n".join(lv.in_words(data))) is (action == "act_as")


def _through_a_client(human: dict[str, Any]) -> dict[str, Any]:
    """Return an actor as the log contains it: a client that acts for this human."""
    whose = {name: human[name] for name in ("id", "name", "email")}
    return {"kind": "client", "id": CLIENT, "name": "Desk", "side": human["side"], "email": "", "for": whose}


def test_a_life_in_which_machines_act_for_humans_is_good(tmp_path: Path) -> None:
    entries = life()
    for index, human in ((0, ENGINEER), (2, CUSTOMER)):
        entries[index]["actor"] = _through_a_client(human)
    data = judged(entries, tmp_path)
    assert is_good(data)
    assert data["rules"] == {"looks": 3, "windows": 1, "by_provider_alone": 0, "downloads": 0}


@pytest.mark.parametrize("human", [ENGINEER, PROVIDER])
def test_a_machine_that_decides_counts_as_its_human(human: dict[str, Any], tmp_path: Path) -> None:
    """Somebody who raised or already approved an access request can't approve it through a client."""
    by_hand, through = life(), life()
    by_hand[2]["actor"], through[2]["actor"] = human, _through_a_client(human)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected = problems(judged(by_hand, tmp_path / "a"))
    assert expected
    assert problems(judged(through, tmp_path / "b")) == expected


def _at(entries: Entries, index: int, micros: int) -> Entries:
    """Set the time of this entry and of all later entries."""
    for each in entries[index:]:
        each["at"] = instant(micros)
    return entries


def _drop(entries: Entries, index: int) -> Entries:
    del entries[index]
    return entries


def _change(entries: Entries, index: int, **change: Any) -> Entries:
    entries[index] |= change
    return entries


def _again(entries: Entries, *steps: int, **change: Any) -> Entries:
    """Return the first six entries, followed by some of them again."""
    added = [copy.deepcopy(entries[step]) for step in steps]
    for at, each in enumerate(added, 6):
        each["at"] = instant(at * 60_000_000)
        each["detail"] |= change
    return [*entries[:6], *added]


def _ended(event: str, actor: dict[str, Any]) -> Entries:
    entries = _again(life(), 1, 5)
    return _change(entries, 6, event=event, actor=actor)


def _detail(entries: Entries, index: int, **change: Any) -> Entries:
    entries[index]["detail"] = {**entries[index]["detail"], **change}
    return entries


TWICE = "one person counts twice: the person who made this decision also asked for access, or decided earlier"

BREACHES: dict[str, tuple[Callable[[], Entries], int, str]] = {
    "nobody said yes": (lambda: _drop(_drop(life(), 1), 1), 1, "content was listed outside a window"),
    "the customer did not": (lambda: _drop(life(), 2), 2, "content was listed outside a window"),
    "the provider did not": (lambda: _drop(life(), 1), 1, "the two stages of a decision are in the wrong order"),
    "nobody asked": (lambda: _drop(life(), 0), 0, "an access request was decided on, but it was not pending"),
    "at the end": (lambda: _at(life()[:6], 5, 120_000_000 + HOUR), 5, "content was opened outside a window"),
    "before the beginning": (
        lambda: _detail(life(), 2, opens_at=instant(4 * 60_000_000)), 3, "content was listed outside a window"
    ),
    "back-dated": (
        lambda: _detail(life(), 2, opens_at=instant(0)), 2,
        "the window opened before the last approval, or is longer than the access request allows",
    ),
    "longer": (
        lambda: _detail(life(), 2, closes_at=instant(120_000_001 + HOUR)), 2,
        "the window opened before the last approval, or is longer than the access request allows",
    ),
    "endless": (lambda: _detail(life(), 2, closes_at="9999-19-39T29:59:59.000000Z"), 2,
        "the entry about a window does not have the window's times"),
    "no times": (lambda: _detail(life(), 2, closes_at=None), 2, "the entry about a window does not have the "
    "window's times"),
    "another window": (lambda: _change(life(), 5, subject={"type": "grant", "id": OTHER}), 5,
                       "content was opened outside a window"),
    "another request's": (lambda: _change(life(), 5, access_request=OTHER), 5, "content was opened outside a window"),
    "nobody's": (lambda: _change(life(), 5, access_request=None), 5, "content was opened outside a window"),
    "another mailbox": (lambda: _detail(life(), 5, resource=OTHER), 5,
                        "content was opened in a resource that was not asked for"),
    "names only": (
        lambda: life({**ASKED, "level": "names"}), 5, "content was opened in a window for names only"
    ),
    "a file, viewing only": (
        lambda: _change(life({**ASKED, "level": "view"}), 5, event="content.downloaded"), 5,
        "content was downloaded in a window for viewing only",
    ),
    "reading allowed elsewhere, viewing only": (
        lambda: _allowed(life({**ASKED, "level": "view"}), "read"), 5,
        "content was opened in a window for viewing only",
    ),
    "something unheard of allowed elsewhere, viewing only": (
        lambda: _allowed(life({**ASKED, "level": "view"}), "copy"), 5,
        "content was opened in a window for viewing only",
    ),
    "a view allowed elsewhere, names only": (
        lambda: _allowed(life({**ASKED, "level": "names"}), "view"), 5,
        "content was opened in a window for names only",
    ),
    "a change allowed elsewhere, viewing and downloading only": (
        lambda: _allowed(life({**ASKED, "level": "read"}), "act_as"), 5,
        "content was changed in a window for viewing and downloading only",
    ),
    "a change allowed elsewhere, viewing only": (
        lambda: _allowed(life({**ASKED, "level": "view"}), "act_as"), 5,
        "content was changed in a window for viewing only",
    ),
    "a change allowed elsewhere, names only": (
        lambda: _allowed(life({**ASKED, "level": "names"}), "act_as"), 5,
        "content was changed in a window for names only",
    ),
    "a change allowed elsewhere, an unknown level": (
        lambda: _allowed(life({**ASKED, "level": "everything"}), "act_as"), 5,
        "content was changed in a window for names only",
    ),
    "a view in a window of an unknown level": (
        lambda: life({**ASKED, "level": "everything"}), 5, "content was opened in a window for names only",
    ),
    "allowed elsewhere at the end": (
        lambda: _at(_allowed(life(), "read")[:6], 5, 120_000_000 + HOUR), 5, "content was opened outside a window"
    ),
    "a list allowed elsewhere at the end": (
        lambda: _at(_allowed(life(), "list")[:6], 5, 120_000_000 + HOUR), 5, "content was listed outside a window"
    ),
    "allowed elsewhere, names only": (
        lambda: _allowed(life({**ASKED, "level": "names"}), "read"), 5,
        "content was opened in a window for names only",
    ),
    "something unheard of allowed elsewhere, names only": (
        lambda: _allowed(life({**ASKED, "level": "names"}), "copy"), 5,
        "content was opened in a window for names only",
    ),
    "another mailbox elsewhere": (lambda: _detail(_allowed(life(), "read"), 5, resource=OTHER), 5,
                                  "content was opened in a resource that was not asked for"),
    "another text": (lambda: _detail(life(), 0, justification="Please."), 1,
                     "the decision is about something different from the access request"),
    "one person on both stages": (lambda: _change(life(), 2, actor=PROVIDER), 2,
                                  TWICE),
    "who asked says yes": (lambda: _change(life(), 1, actor=ENGINEER), 1,
                           TWICE),
    "a yes that opens nothing": (lambda: _detail(life(), 2, state="PENDING_CUSTOMER"), 2,
                                 "the customer approved, but no window opened"),
    "another form of an instant": (lambda: _detail(life(), 2, closes_at="2025-W24-7T16:06:40Z"), 2,
                                   "the entry about a window does not have the window's times"),
    "an instant without its parts": (lambda: _detail(life(), 2, closes_at="2025-06-15T16:08:40Z"), 2,
                                     "the entry about a window does not have the window's times"),
    "asked for twice": (lambda: _again(life(), 0, 5, resources=[{"id": OTHER}], resource=OTHER), 6,
                        "the access request has no id, or an id that was used before"),
    "asked for again after its end": (lambda: [*life()[:7], *_again(life(), 0)[6:]], 7,
                                      "the access request has no id, or an id that was used before"),
    "asked for by no id": (lambda: _change(life(), 0, access_request=None), 0,
                           "the access request has no id, or an id that was used before"),
    "a grant opened twice": (lambda: _twice(), 8, "the grant has no id, or an id that was used before"),
    "a grant without an id": (lambda: _detail(life(), 2, grant=None), 2,
                              "the grant has no id, or an id that was used before"),
    "withdrawn while open": (lambda: _ended("access_request.withdrawn", ENGINEER), 6,
                             "an access request ended, but it was not pending"),
    "expired while open": (lambda: _ended("access_request.expired", ENGINEER), 6,
                           "an access request ended, but it was not pending"),
    "denied while open": (lambda: _ended("access_request.denied_by_customer", SYSTEM), 6,
                          "an access request was decided on, but it was not pending"),
    "approved while open": (lambda: _ended("access_request.approved_by_customer", SYSTEM), 6,
                            "an access request was decided on, but it was not pending"),
    "closed by another request": (lambda: _change(life(), 6, access_request=OTHER), 6,
                                  "a window is closed, but it was not open"),
    "a resource that is no text": (lambda: _detail(life({**ASKED, "resources": [{"id": "7"}]}), 5, resource=7), 3,
                                   "content was listed in a resource that was not asked for"),
    "a window that was not open": (lambda: _detail(life(), 6, grant=OTHER), 6,
                                   "a window is closed, but it was not open"),
}  # fmt: skip


def _twice() -> Entries:
    """Return the entries of an access request, and then of another one that opens the same grant."""
    entries = _again(life(), 0, 1, 2)
    for each in entries[6:]:
        each["access_request"] = OTHER
    entries[8]["detail"] |= {"opens_at": entries[8]["at"], "closes_at": instant(9 * 60_000_000)}
    return entries


def test_an_impossible_event_is_named_with_its_index(tmp_path: Path) -> None:
    with collected() as case:
        for name in BREACHES:
            with case(name):
                made, index, why = BREACHES[name]
                assert problems(judged(made(), tmp_path)) == [(index, why)]


@pytest.mark.parametrize("kind", ["period", "pruned", "access_request"])
def test_only_a_whole_log_is_replayed(kind: str, tmp_path: Path) -> None:
    log = Log.of([{**each, "seq": seq} for seq, each in enumerate(_drop(life(), 2))])
    written = {
        "period": bundle(log, kind="period", span=(0, len(log.lines))),
        "pruned": bundle(Log([*log.lines, canonical(pruning(len(log.lines), 1))]), pruned=1),
        "access_request": bundle(log, kind="access_request", request=AR),
    }[kind]
    data = verdict(written, tmp_path)
    assert is_good(data)
    assert "rules" not in data


@pytest.mark.parametrize(
    "detail",
    [
        {"resources": "x", "window_for": 2**53 - 1}, {"resources": [7, None, {"id": []}], "window_for": True},
        {"resources": [{"id": {}}], "window_for": -1}, {"resources": {}, "window_for": None}, {},
    ],
)  # fmt: skip
def test_entries_of_odd_shapes_are_judged_and_never_stumbled_over(detail: dict[str, Any], tmp_path: Path) -> None:
    assert judged(life(detail), tmp_path)["exit"] in (0, 1)
    entries = life()
    for each in entries:
        each["detail"] = dict.fromkeys(each["detail"], [])
        each["subject"], each["actor"] = {}, {"id": [], "email": {}, "name": None}
    assert judged(entries, tmp_path)["exit"] == 1


def test_the_rules_forget_what_has_ended() -> None:
    lines = [canonical(each) for each in story(random.Random(2), 3000)]
    rules = lv.Rules()
    hashes = b"".join(map(lv.leaf_hash, lines))
    tenant = json.loads(lines[0])["tenant"]
    checked = lv.check_block(b"".join(line + b"\n" for line in lines), hashes, 0, (), lv.Expected(tenant, 0, True))
    for fact in checked.facts:
        rules.see(fact)
    assert rules.opened > 300
    assert len(rules.asked) + len(rules.windows) <= 2


# --- Decisions without a signature -----------------------------------------------------------------------


def test_decisions_without_a_signature_are_called_unproven(tmp_path: Path) -> None:
    data = judged(life(), tmp_path)
    assert data["decisions"] == {
        "holds": 0,
        "proven": [],
        "vouches": 0,
        "vouched": [],
        "unproven": 2,
        "signed": 0,
        "by_event": {"access_request.approved_by_customer": 1, "access_request.approved_by_provider": 1},
        "listed": [
            {"log": 0, "index": 1, "event": "access_request.approved_by_provider", "reference": "AR-1",
             "who": "Pat Doyle <pat.doyle@provider.example>", "at": instant(60_000_000), **BY_ONESELF},
            {"log": 0, "index": 2, "event": "access_request.approved_by_customer", "reference": "AR-1",
             "who": "Ada Keller <ada.keller@contoso.example>", "at": instant(120_000_000), **BY_ONESELF},
        ],
    }  # fmt: skip


def test_a_signature_that_this_version_can_t_check_is_not_called_proof(tmp_path: Path) -> None:
    data = judged(_detail(life(), 2, signature={"alg": "ES256"}), tmp_path)
    assert (data["decisions"]["unproven"], data["decisions"]["signed"]) == (2, 1)
    assert [each["index"] for each in data["decisions"]["listed"]] == [1, 2]
    report = "\n".join(lv.in_words(data))
    assert "unproven    2 decisions are not proven by a signature of a person's key:" in report
    assert "this verifier does not know this kind of signature" in report


def test_many_unproven_decisions_are_counted_and_the_first_thousand_named(tmp_path: Path) -> None:
    data = verdict(bundle(Log.of(story(random.Random(4), 4000))), tmp_path)
    assert is_good(data)
    assert data["decisions"]["unproven"] > 1000
    assert len(data["decisions"]["listed"]) == 1000
    assert sum(data["decisions"]["by_event"].values()) == data["decisions"]["unproven"]

"""Each invariant of the storm finds its fault in a forged log or journal, and finds nothing if there is no fault."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections import Counter
from typing import Any

import pytest

from bench.storm import checks, tree
from bench.storm.calling import Answer, forms_of
from bench.storm.checks import Violation
from bench.storm.journal import Outcome, judged
from tests.offenders import collected
from tests.storm import forged
from tests.storm.forged import ADA, ENGINEER, act, entry, life

DONE, REFUSED, NOTHING = Outcome.DONE, Outcome.REFUSED, Outcome.NOTHING
UNKNOWN, LOST = Outcome.UNKNOWN, Outcome.LOST
CLAIMED_NOTHING = '"nothing was changed", though it was'
LOST_ACT, TWICE = "an acknowledged act is not in the log", "an act is in the log more often than it was asked for"


def kinds(found: list[Violation]) -> list[str]:
    return [each.kind for each in found]


def found_in(entries: list[dict[str, Any]], comments: dict[str, str] | None = None) -> Counter[checks.Mark]:
    return checks.found_in({"contoso": forged.log(entries)}, comments or {})


def test_a_ticket_that_a_submission_has_taken_counts_for_the_submission() -> None:
    submitted, assigned, again = life()[2], life()[1], life()[1]
    assigned["at"] = submitted["at"]
    mark = ("contoso", "ticket.assigned", f"{forged.TICKET} {ENGINEER}")
    assert found_in([assigned, submitted])[mark] == 0
    assert found_in([assigned, submitted, again])[mark] == 1


# --- Every acknowledged act is there once ------------------------------------------------------------------


def test_an_act_is_in_the_log_as_often_as_it_was_acknowledged() -> None:
    cases: list[tuple[tuple[Outcome, ...], int, str]] = [
        ((DONE,), 1, ""),
        ((DONE,), 0, LOST_ACT),
        ((DONE,), 2, TWICE),
        ((UNKNOWN,), 0, ""),
        ((UNKNOWN,), 1, ""),
        ((UNKNOWN,), 2, TWICE),
        ((LOST, DONE), 1, ""),
        ((LOST, DONE), 2, TWICE),
        ((NOTHING,), 0, ""),
        ((NOTHING,), 1, CLAIMED_NOTHING),
        ((NOTHING, REFUSED), 1, CLAIMED_NOTHING),
        ((REFUSED,), 0, ""),
        ((REFUSED,), 1, "an act was refused, though it was done"),
    ]
    with collected() as case:
        for outcomes, times, kind in cases:
            with case(outcomes, times, kind):
                entries = [
                    entry("ticket.opened", "mia", n, subject=f"ticket-{n}", title="K000001Q") for n in range(times)
                ]
                assert kinds(checks.once([act(*outcomes)], found_in(entries))) == ([kind] if kind else [])


def test_a_lost_entry_breaks_safety_and_wrong_words_do_not() -> None:
    [lost] = checks.once([act(DONE)], Counter())
    assert lost.safety
    [wrong] = checks.once([act(NOTHING)], found_in(life()))
    assert not wrong.safety


def test_a_comment_is_known_by_its_own_text() -> None:
    entries = [entry("ticket.commented", "mia", 1, comment_id="comment-1")]
    wanted = act(DONE, event="ticket.said", mark="K000009Q")
    assert checks.once([wanted], found_in(entries, {"comment-1": "K000009Q"})) == []
    assert kinds(checks.once([wanted], found_in(entries, {"comment-1": "other"}))) == [LOST_ACT]


def test_looks_are_counted_by_window_and_item() -> None:
    look = act(DONE, event="content.opened", mark=f"{forged.ASKED} 7.mail")
    assert checks.once([look], found_in(life())) == []
    assert kinds(checks.once([look, look], found_in(life()))) == [LOST_ACT]


def test_an_access_that_was_recorded_and_refused_is_no_wrong_answer() -> None:
    """The entry is written first. If the window closes before the page is made, the page shows no content."""
    look = act(REFUSED, event="content.opened", mark=f"{forged.ASKED} 7.mail")
    assert checks.once([look], found_in(life())) == []


def test_moves_of_a_ticket_are_counted_by_who_made_them() -> None:
    move = act(DONE, event="ticket.assigned", mark=f"{forged.TICKET} {ENGINEER}")
    assert checks.once([move], found_in(life())) == []
    stranger = act(DONE, event="ticket.assigned", mark=f"{forged.TICKET} {ADA}")
    assert kinds(checks.once([stranger], found_in(life()))) == [LOST_ACT]


# --- Responses ---------------------------------------------------------------------------------------------


def test_an_answer_is_sorted_by_status_and_words() -> None:
    cases = [
        (200, "", DONE),
        (302, "", DONE),
        (409, "", REFUSED),
        (412, "", REFUSED),
        (429, "", REFUSED),
        (503, '{"code": "store_unavailable"}', NOTHING),
        (503, '{"code": "busy"}', Outcome.PUT_OFF),
        (503, '{"code": "outcome_unknown"}', UNKNOWN),
        (503, '{"error": {"code": "OutcomeUnknown"}}', UNKNOWN),
        (503, "We don’t know whether this was saved. Check before you try again.", UNKNOWN),
        (409, '{"code": "idempotency_in_progress"}', Outcome.BUSY),
        (0, "", LOST),
        (500, "", Outcome.WRONG),
        (502, "", Outcome.WRONG),
        (502, "<hr><center>nginx/1.26</center>", Outcome.LOST),
        (400, "", Outcome.WRONG),
        (401, "", Outcome.WRONG),
        (403, "", Outcome.WRONG),
        (404, "", Outcome.WRONG),
    ]
    with collected() as case:
        for status, body, outcome in cases:
            with case(status, body, outcome):
                assert judged(Answer(status, body.encode())) is outcome


def test_a_wrong_status_is_an_answer_that_must_not_be() -> None:
    assert checks.answers([act(DONE), act(REFUSED), act(NOTHING), act(UNKNOWN), act(LOST)]) == []
    assert kinds(checks.answers([act(Outcome.WRONG)])) == ["a wrong status"]


def test_a_replay_after_nothing_was_changed_shows_that_it_was() -> None:
    assert kinds(checks.answers([act(NOTHING, DONE, replayed=True)])) == [CLAIMED_NOTHING]
    assert checks.answers([act(NOTHING, DONE)]) == []
    assert checks.answers([act(UNKNOWN, DONE, replayed=True)]) == []


# --- Rows, signatures --------------------------------------------------------------------------------------


def rows() -> dict[str, dict[str, Any]]:
    return {"asked": {forged.ASKED: "CLOSED"}, "tickets": {forged.TICKET: "ASSIGNED"}, "grants": {forged.GRANT: True}}


def test_rows_that_say_what_the_log_says_are_well() -> None:
    assert checks.rows_agree(forged.replay(life()), rows()) == []


@pytest.mark.parametrize(
    ("what", "key", "value"),
    [
        ("asked", forged.ASKED, "OPEN"),
        ("asked", "of-nobody", "PENDING_PROVIDER"),
        ("tickets", forged.TICKET, "CLOSED"),
        ("grants", forged.GRANT, False),
        ("grants", "of-nobody", False),
    ],
)
def test_half_a_state_is_found(what: str, key: str, value: object) -> None:
    stored = rows()
    stored[what][key] = value
    assert kinds(checks.rows_agree(forged.replay(life()), stored)) == ["a row is not what the log says"]


def test_a_row_that_is_gone_is_found() -> None:
    assert len(checks.rows_agree(forged.replay(life()), {"asked": {}, "tickets": {}, "grants": {}})) == 3


def note(leaves: list[bytes], size: int) -> str:
    return f"x/log/1\n{size}\n{base64.b64encode(tree.root(leaves[:size])).decode()}\n\n— x AAAA\n"


def test_each_checkpoint_is_one_of_the_log() -> None:
    lines = forged.log(life())
    leaves = [bytes.fromhex(line["leaf_hash"]) for line in lines]
    notes = [note(leaves, size) for size in range(1, len(leaves) + 1)]
    assert checks.signed("contoso", lines, notes) == []
    assert kinds(checks.signed("contoso", lines[:-1], notes)) == ["the log is not what was signed"]
    lines[2]["leaf_hash"] = "00" * 32
    assert len(checks.signed("contoso", lines, notes)) == len(leaves) - 2


def test_the_tree_is_that_of_rfc_6962() -> None:
    """The eight test vectors of Certificate Transparency."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    leaves = [hashlib.sha256(b"\0" + bytes.fromhex(each)).digest() for each in inputs]
    assert tree.root(leaves).hex().startswith("5dc9da79")


# --- Messages ----------------------------------------------------------------------------------------------


def test_a_mail_that_counts_as_delivered_and_never_came_is_found() -> None:
    received = [("<1@x>", "ada@x", b"hello")]
    assert checks.mails(received, [("<1@x>", "ada@x")]) == []
    assert kinds(checks.mails(received, [("<2@x>", "ada@x")])) == ["a mail that counts as delivered never arrived"]
    assert kinds(checks.mails(received, [("<1@x>", "alan@x")])) == ["a mail that counts as delivered never arrived"]


def test_a_mail_that_comes_again_is_the_same_to_the_byte() -> None:
    assert checks.mails([("<1@x>", "ada@x", b"hello")] * 2, []) == []
    found = checks.mails([("<1@x>", "ada@x", b"in 5 minutes"), ("<1@x>", "ada@x", b"in 4 minutes")], [])
    assert kinds(found) == ["a mail came again, and was another"]


def test_an_engineer_without_a_mail_is_found() -> None:
    replay, addresses = forged.replay(life()), {ENGINEER: "e@x"}
    assert checks.engineers_got_mail(replay, {"e@x": "The window of AR-AAAA-BBBB is closed."}, addresses) == []
    assert kinds(checks.engineers_got_mail(replay, {}, addresses)) == ["an outcome was never told"]


def message(index: int, **more: Any) -> bytes:
    return json.dumps({"data": {"log": {"index": index}}, **more}).encode()


def test_each_event_is_sent_to_a_webhook_at_least_once_and_unchanged() -> None:
    lines, events = forged.log(life()), ["grant.closed"]
    reported = [("m6", message(6)), ("m6", message(6))]
    assert checks.hooks("contoso", lines, reported, since=0, events=events) == []
    assert checks.hooks("contoso", lines, [], since=7, events=events) == []
    assert kinds(checks.hooks("contoso", lines, [], since=0, events=events)) == ["a webhook was never told"]
    for other in [("m6", message(6, more=1)), ("m7", message(6))]:
        found = checks.hooks("contoso", lines, [reported[0], other], since=0, events=events)
        assert kinds(found) == ["a webhook was told one event in two ways"]


def test_a_message_still_in_the_outbox_is_found() -> None:
    assert checks.outbox_is_done([], []) == []
    assert kinds(checks.outbox_is_done(["mail"], ["hook"])) == ["a message still waits", "a message was given up"]


def test_a_window_that_did_not_end_in_time_is_found() -> None:
    replay, later = forged.replay(life()[:5]), forged.BEGUN + dt.timedelta(minutes=5)
    assert kinds(checks.replayed("contoso", replay, later, dt.timedelta(seconds=30))) == ["not ended in time"]


# --- Forms -------------------------------------------------------------------------------------------------


def test_a_form_is_read_as_a_browser_reads_it() -> None:
    [form] = forms_of(
        '<form method="post" action="/x/"><input type="hidden" name="csrf" value="c"><input name="title">'
        '<input type="radio" name="level" value="list"><input type="radio" name="level" value="read" checked>'
        '<select name="s"><option value="">-<option value="2" selected>two</select><textarea name="note"></textarea>'
        '<button name="step" value="go">Go</button></form>'
    )
    assert (form.method, form.action) == ("post", "/x/")
    assert form.values == [("csrf", "c"), ("level", "read"), ("s", "2")]
    assert form.texts == ["title", "note"]
    assert form.filled(note="a b") == b"csrf=c&level=read&s=2&note=a+b"
    assert not form.is_once

"""A human counts once, with any number of accounts.

Accounts are linked by staff, or by proven addresses of the same mailbox.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import AlreadyDecidedByYou, NotAllowed, NotFound, OwnAccessRequest, TooMany, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.scopes import Scope
from requests_app.models import AccessRequest, Client, Decision, Grant, Person, mailboxes
from requests_app.models.people import actor_of_token
from requests_app.queries import access, content, inbox
from tests.cast import Cast, events_in, events_of

pytestmark = pytest.mark.django_db


def _linked(cast: Cast, name: str, other: str) -> Person:
    cast.agreed(lambda: operations.link_accounts(cast.people[name].pk, cast.people[other].pk, actor=cast.as_("stella")))
    return Person.objects.get(pk=cast.people[name].pk)


def _logged(event: str) -> set[Any]:
    return set(AuditEntry.objects.filter(event=event).values_list("tenant_id", flat=True))


def test_a_second_account_decides_nothing_on_what_the_first_one_asked_for(cast: Cast) -> None:
    """The link can be made in either direction, and before or after the access request."""
    before = cast.submitted(by="priya")
    for name, other in (("priya", "pat"), ("paula", "erik")):
        _linked(cast, name, other)
    after = cast.submitted(by="erik")
    for row, decider in ((before, "pat"), (after, "paula")):
        for decide in (operations.approve_as_provider, operations.deny_as_provider):
            with pytest.raises(OwnAccessRequest):
                decide(row.pk, actor=cast.as_(decider), note="Fine.")
        assert events_of(row) == ["access_request.submitted"] + ["act.refused"] * 2
    assert not Decision.objects.exists()


def test_one_human_on_both_sides_counts_once(cast: Cast) -> None:
    _linked(cast, "pat", "ada")
    row = cast.confirmed()
    with pytest.raises(AlreadyDecidedByYou):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    assert not Grant.objects.exists()
    # After the accounts are unlinked, the decision still belongs to the human that it belonged to when it was made.
    cast.agreed(lambda: operations.unlink_accounts(cast.pat.pk, actor=cast.as_("stella")))
    with pytest.raises(AlreadyDecidedByYou):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    assert operations.approve_as_customer(row.pk, actor=cast.as_("alan")).state == "OPEN"


def test_the_policy_gives_the_same_answer_before_the_act(cast: Cast) -> None:
    """The accounts are linked after the first decision, and later unlinked.

    The decision's row still has the human's id.
    """
    row, other = cast.confirmed(), cast.as_("alan")

    def assert_mail() -> None:
        ada, at = cast.as_("ada"), clock.now()
        seen = access.access_request(row.pk, actor=ada)
        for verdict in ("approve_as_customer", "deny_as_customer"):
            with pytest.raises(AlreadyDecidedByYou):
                access.require_offered(seen, verdict, actor=ada, at=at)
        assert access.allowed_actions(seen, actor=ada, at=at) == []
        assert [inbox.count_waiting_for(actor, at=at) for actor in (ada, other)] == [0, 1]
        with pytest.raises(AlreadyDecidedByYou):
            operations.approve_as_customer(row.pk, actor=ada)

    assert inbox.count_waiting_for(cast.as_("ada"), at=clock.now()) == 1
    _linked(cast, "ada", "pat")
    assert_mail()
    cast.agreed(lambda: operations.unlink_accounts(cast.pat.pk, actor=cast.as_("stella")))
    assert inbox.count_waiting_for(cast.as_("ada"), at=clock.now()) == 1
    _linked(cast, "pat", "ada")
    assert_mail()


def test_a_client_that_decides_for_an_account_counts_as_its_human(cast: Cast) -> None:
    made = operations.create_client(
        tenant_id=cast.contoso.pk,
        name="Desk",
        scopes=["decisions:write"],
        decides_for_id=cast.ada.pk,
        actor=cast.as_("ines"),
    )
    token = operations.issue_access_token(Client.objects.get(pk=made.row.pk), scopes=[Scope.DECISIONS_WRITE]).row
    _linked(cast, "pat", "ada")
    row = cast.confirmed()
    with pytest.raises(AlreadyDecidedByYou):
        operations.approve_as_customer(row.pk, actor=actor_of_token(token))
    assert not Grant.objects.exists()


def test_an_access_request_with_two_parts_of_one_human_ends_when_they_are_linked(cast: Cast) -> None:
    """One account raised the access request and the other approved it, or each account approved one stage."""
    access_request, opened, other = cast.confirmed(by="priya"), cast.opened(by="erik"), cast.confirmed(by="erik")
    _linked(cast, "priya", "pat")
    assert AccessRequest.objects.get(pk=access_request.pk).state == "WITHDRAWN"
    assert events_of(access_request)[-1] == "access_request.withdrawn"
    assert AccessRequest.objects.get(pk=opened.access_request_id).state == "OPEN"
    _linked(cast, "pat", "ada")
    assert AccessRequest.objects.get(pk=opened.access_request_id).state == "CLOSED"
    assert AccessRequest.objects.get(pk=other.pk).state == "PENDING_CUSTOMER"
    assert Decision.objects.count() == 4


def test_both_accounts_use_a_window_until_it_closes_and_they_are_unlinked(cast: Cast, travel: Any) -> None:
    grant = cast.opened(by="erik")
    _linked(cast, "priya", "erik")
    due = cast.made_due(lambda: operations.unlink_accounts(cast.erik.pk, actor=cast.as_("stella")))
    with pytest.raises(WrongState):
        operations.apply_proposal(due, actor=cast.system("sweep"))
    for name in ("erik", "priya"):
        assert content.window(grant.pk, actor=cast.as_(name), at=grant.opens_at).grant == grant
    travel.to(grant.closes_at)
    assert operations.apply_proposal(due, actor=cast.system("sweep")).outcome == "applied"
    assert cast.as_("erik").human_id != cast.as_("priya").human_id


def test_two_accounts_do_not_ask_twice_as_often(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requests_app.domain.limits.PENDING_MAX", 1)
    _linked(cast, "priya", "erik")
    cast.submitted(by="priya")
    with pytest.raises(TooMany):
        cast.submitted(by="erik")


def test_linking_is_in_the_providers_log_and_in_that_of_each_tenant_concerned(cast: Cast) -> None:
    row = cast.submitted("fabrikam", by="erik")
    _linked(cast, "ada", "erik")
    assert _logged("accounts.linked") == {PROVIDER_LOG, cast.contoso.pk, cast.fabrikam.pk}
    # They can be unlinked when the access request has ended. Then no other tenant is affected.
    operations.withdraw(row.pk, actor=cast.as_("erik"))
    cast.agreed(lambda: operations.unlink_accounts(cast.ada.pk, actor=cast.as_("stella")))
    assert _logged("accounts.unlinked") == {PROVIDER_LOG, cast.contoso.pk}
    assert events_in(cast.northwind) == []


def test_only_other_staff_say_which_accounts_are_one_human(cast: Cast) -> None:
    stella, before = cast.as_("stella"), set(Person.objects.get_queryset().values_list("pk", "human_id"))
    refusals: list[tuple[type[Exception], Any]] = [
        (NotAllowed, lambda: operations.link_accounts(cast.stella.pk, cast.pat.pk, actor=stella)),
        (NotAllowed, lambda: operations.link_accounts(cast.pat.pk, cast.stella.pk, actor=stella)),
        (NotAllowed, lambda: operations.unlink_accounts(cast.stella.pk, actor=stella)),
        (WrongState, lambda: operations.unlink_accounts(cast.pat.pk, actor=stella)),
        (WrongState, lambda: operations.link_accounts(cast.pat.pk, cast.pat.pk, actor=stella)),
        (NotFound, lambda: operations.link_accounts(cast.pat.pk, "nobody", actor=stella)),
    ]
    for name in ("ines", "pat", "priya"):
        actor = cast.as_(name)
        refusals.append((NotAllowed, lambda a=actor: operations.link_accounts(cast.ada.pk, cast.pat.pk, actor=a)))
        refusals.append((NotAllowed, lambda a=actor: operations.unlink_accounts(cast.ada.pk, actor=a)))
    for refusal, call in refusals:
        with pytest.raises(refusal):
            call()
    assert set(Person.objects.get_queryset().values_list("pk", "human_id")) == before
    assert _logged("accounts.linked") == _logged("accounts.unlinked") == set()


@pytest.mark.parametrize(
    ("email", "is_same"),
    [
        ("pat+second@provider.example", True),
        ("PAT@Provider.Example", True),
        ("pat@other.example", False),
        ("pat.@provider.example", False),
        ("patricia@provider.example", False),
    ],
)
def test_addresses_of_one_mailbox_are_recognised(cast: Cast, email: str, is_same: bool) -> None:
    found = Person.objects.get_queryset().filter(mailboxes.same_mailbox(email))
    assert list(found) == ([cast.pat] if is_same else [])


def test_a_domain_is_the_same_in_both_its_spellings() -> None:
    assert mailboxes.base("Ada+lockbox@bücher.example") == mailboxes.base("ada@xn--bcher-kva.example")


def test_a_new_account_of_a_mailbox_that_is_known_counts_as_that_human(cast: Cast) -> None:
    """Both addresses are proven: somebody opened the link that was sent to each of them."""
    row = cast.invited("Pat+two@provider.example", by="ines")
    new = operations.accept_invitation(
        cast.link_of(row), name="Patricia", password="another battery of 7 horses", actor=Actor.stranger(door="pages")
    )
    assert new.human_id == cast.pat.human_id
    assert _logged("accounts.linked") == {PROVIDER_LOG}
    detail = json.loads(bytes(AuditEntry.objects.get(event="accounts.linked").canonical))["detail"]
    assert detail == {
        "person": str(new.pk),
        "email": "pat+two@provider.example",
        "because": "same_address",
        "human": str(cast.pat.human_id),
    }

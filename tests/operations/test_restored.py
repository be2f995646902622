"""A restored installation: nothing is open, and nothing opens before people have confirmed what came back."""

from __future__ import annotations

import datetime as dt
import json
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import OrmQ

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.errors import (
    FactsChanged,
    NotAllowed,
    NotFound,
    RestoreNotConfirmed,
    StepUpRequired,
    Unacceptable,
    WindowNotOpen,
    WrongState,
)
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import (
    AccessRequest,
    Grant,
    Guard,
    IdempotencyKey,
    Invitation,
    Membership,
    Mute,
    OneTimeCode,
    OutboxMessage,
    Person,
    Proposal,
    ProviderSignOn,
    QueueAssignment,
    RecoveryKey,
    Restoration,
    RestoredConfirmation,
    Service,
    SignOn,
    StaffTerm,
    Tenant,
    Token,
    TokenKey,
    token_keys,
)
from requests_app.operations import content
from requests_app.platform.reset_links import ResetLinks
from requests_app.queries import restored as queries
from tests.acts import CASES
from tests.acts.restored import restore as restored_for_acts
from tests.caller import Caller, token_of
from tests.cast import Cast, events_of
from tests.factors import force_login
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)

#: What happens to each table after a restore. A new table must be listed: what can an older state of it make possible?
#: "ended": its rows can be used for nothing after the restore. "confirmed": people confirm them before a window opens.
#: "kept": why nothing dangerous follows from an older state.
TABLES = {
    "requests_app.AccessRequest": "ended: pending ones are withdrawn",
    "requests_app.Grant": "ended: every open window is closed",
    "requests_app.AccessDraft": "ended: a draft may have been submitted or discarded after the backup",
    "requests_app.AccessTask": "kept: it follows the state of its access request, which has ended",
    "requests_app.AccessRequestResource": "kept: a part of an access request, which has ended",
    "requests_app.Decision": "kept: it belongs to an access request that has ended, so it decides nothing",
    "requests_app.SignedDecision": "kept: its nonce belongs to an access request that has ended",
    "requests_app.ContentAccess": "kept: history",
    "requests_app.AddressChange": "ended: its link may have been used after the backup",
    "requests_app.OneTimeCode": "ended: a code may have been used after the backup",
    "requests_app.GateSession": "ended: its code, its window and all sessions of its engineer have ended",
    "requests_app.OutOfOffice": "confirmed",
    "requests_app.DirectoryRecord": "kept: the directory sends its people again, and it gives no role by itself",
    "requests_app.DirectoryGroup": "confirmed: the roles of groups",
    "requests_app.GroupRole": "confirmed",
    "requests_app.GroupMember": "confirmed: the roles that follow from it are rows of their own",
    "requests_app.Plan": "kept: only staff change it, and it opens nothing; whether Lockbox is on is confirmed",
    "requests_app.Tenant": "confirmed: Lockbox, levels and the rules for approvals",
    "requests_app.NotificationAddress": "confirmed",
    "requests_app.Service": "kept: each access request names its service, and the customer decides on it anew",
    "requests_app.Resource": "kept: each access request names its resources, and the customer decides on it anew",
    "requests_app.GateProxy": "confirmed by staff",
    "requests_app.Guard": "ended: its life and its numbers, because it has reported more than the database knows",
    "requests_app.Tries": "kept: a counter of guesses lasts minutes",
    "requests_app.Import": "ended: an unfinished import may have been finished or stopped after the backup",
    "requests_app.ImportBatch": "ended: with its import",
    "requests_app.HeldRow": "ended: with its import",
    "requests_app.Installation": "ended: its set-up link; the rest is a fact about mails and copies of keys",
    "requests_app.Client": "confirmed: until then, its secret gives no token",
    "requests_app.Token": "ended: it may have been revoked after the backup",
    "requests_app.IdempotencyKey": "ended: unfinished calls. A finished one only repeats an answer",
    "requests_app.Passkey": "confirmed: one that was removed after the backup is listed. Its counter may be older",
    "requests_app.SignOn": "confirmed",
    "requests_app.ProviderSignOn": "kept: it is read again at once, as that of a tenant",
    "requests_app.Domain": "kept: it gives nobody a role",
    "requests_app.Identity": "kept: it signs in a person, whose roles are confirmed",
    "requests_app.StaffTerm": "confirmed by staff: who is on the staff",
    "requests_app.Person": "confirmed: people with a role. All sessions end; the mail says that an old password works",
    "requests_app.Membership": "confirmed",
    "requests_app.QueueAssignment": "confirmed by staff",
    "requests_app.Invitation": "ended: it may have been used or withdrawn after the backup",
    "requests_app.Mute": "confirmed",
    "requests_app.OutboxMessage": "ended: mails are not sent again. Programs know a message that they got before",
    "requests_app.Proposal": "ended: it may have been refused after the backup",
    "requests_app.RecoveryKey": "ended: it may have been used after the backup",
    "requests_app.Restoration": "kept: an earlier restoration that nobody has confirmed still waits",
    "requests_app.RestoredTenant": "kept: as above",
    "requests_app.RestoredConfirmation": "kept: it counts only for its own restoration",
    "requests_app.SignalStream": "kept: its receiver is sent what ended",
    "requests_app.Ticket": "kept: it opens nothing",
    "requests_app.TicketComment": "kept: history",
    "requests_app.TokenKey": "ended: a grant token of a window that opened after the backup would still be valid",
    "requests_app.Webhook": "confirmed",
    "requests_app.WebhookCursor": "kept: messages are sent at least once",
    "requests_app.WebhookAttempt": "kept: history",
    "requests_app.Heartbeat": "ended: it is of a process of the former machine",
    "requests_app.TaskAttempt": "kept: history",
    "audit_app.HeadsPlace": "kept: the restore confirms the place in which it stores the heads",
    "audit_app.SignerLease": "kept: it only saves work, and it ends by itself",
    "audit_app.ChainHead": "kept: the signer compares it with the heads, and refuses a shorter log",
    "audit_app.AuditEntry": "kept: evidence",
    "audit_app.IndexedSegment": "left out of the backup: the index is made again from the entries",
    "audit_app.IndexPart": "left out of the backup: the index is made again from the entries",
    "audit_app.ClosedShard": "kept: evidence",
    "audit_app.Tile": "kept: evidence",
    "audit_app.SignedHead": "kept: evidence",
    "audit_app.Checkpoint": "kept: evidence",
    "audit_app.LogKey": "kept: public keys",
    "audit_app.LogOrigin": "kept: evidence",
    "audit_app.LogAlarm": "kept: an alarm that was over is found to be over again",
    "audit_app.Witness": "kept: it can only make opening a window harder",
    "audit_app.Cosignature": "kept: evidence",
    "audit_app.LogCheck": "kept: it only reads",
    "admin.LogEntry": "kept: nothing is written there",
    "auth.Permission": "kept: nothing asks for it",
    "auth.Group": "kept: nothing asks for it",
    "contenttypes.ContentType": "kept: names of tables",
    "sessions.Session": "ended",
    "usersessions.UserSession": "ended",
    "account.EmailAddress": "kept: the address of a person, whose roles are confirmed",
    "account.EmailConfirmation": "ended: its link may have been used after the backup",
    "mfa.Authenticator": "ended: recovery codes, which may have been used. An app or a passkey is still the person's",
    "django_q.Task": "kept: history",
    "django_q.Success": "kept: history",
    "django_q.Failure": "kept: history",
    "django_q.Schedule": "kept: regular work reads the tables anew",
    "django_q.OrmQ": "ended: a task is only a bell",
}


def restore(cast: Cast | None = None, *, taken: dt.timedelta = HOUR, backup: UUID | None = None) -> Restoration:
    """Restore. With a cast, the staff have two people in the backup."""
    if cast is not None:
        cast.colleague()
    at = clock.now()
    return operations.restored(backup_id=backup or uuid4(), taken_at=at - taken, at=at)


def shown(cast: Cast, tenant: str = "contoso") -> str:
    return queries.digest(queries.facts_of_tenant(Tenant.objects.get(pk=cast.tenants[tenant].pk), clock.now()))


def confirm(cast: Cast, *names: str, tenant: str = "contoso") -> None:
    for name in names:
        operations.confirm_restored(cast.tenants[tenant].pk, shown=shown(cast, tenant), actor=cast.as_(name))


def confirm_people(cast: Cast, *names: str) -> None:
    for name in names:
        what = queries.digest(queries.facts_of_provider())
        operations.confirm_restored_people(shown=what, actor=cast.as_(name))


def all_confirmed(cast: Cast) -> None:
    confirm(cast, "ines", "ada")
    confirm_people(cast, *_staff(cast))


def _staff(cast: Cast) -> list[str]:
    """Return the two members of the staff that `restore` has made sure of."""
    return ["stella", "sten"]


def _detail(entry: AuditEntry) -> Any:
    return json.loads(bytes(entry.canonical))["detail"]


def test_every_table_is_classified() -> None:
    tables = {model._meta.label for model in apps.get_models()}
    assert sorted(tables - TABLES.keys()) == [], "say what happens to these tables after a restore"
    assert sorted(TABLES.keys() - tables) == [], "these tables do not exist"


def test_every_window_closes_and_everything_that_waits_is_withdrawn(cast: Cast) -> None:
    opened, theirs = cast.opened(), cast.opened("fabrikam")
    waiting, new = cast.confirmed(), cast.submitted()
    restore()
    states = {row.pk: row.state for row in AccessRequest.objects.all()}
    assert [states[each.access_request_id] for each in (opened, theirs)] == ["CLOSED", "CLOSED"]
    assert [states[each.pk] for each in (waiting, new)] == ["WITHDRAWN", "WITHDRAWN"]
    assert events_of(opened.access_request_id)[-1] == "grant.revoked"
    assert events_of(waiting.pk)[-1] == "access_request.withdrawn"
    grant = Grant.objects.get(pk=opened.pk)
    assert (grant.close_reason, grant.closed_by, grant.closed_at is not None) == ("revoked", None, True)
    with pytest.raises(WindowNotOpen):
        content.list_items(opened.pk, cast.resource().pk, actor=cast.as_("priya"))


def test_each_log_and_the_providers_have_the_entry(cast: Cast) -> None:
    row = restore()
    entries = AuditEntry.objects.filter(event="installation.restored")
    assert {entry.tenant_id for entry in entries} == {PROVIDER_LOG, *Tenant.objects.values_list("pk", flat=True)}
    detail = _detail(entries.get(tenant_id=cast.contoso.pk))
    assert (detail["backup"], detail["lockbox_on"]) == (str(row.pk), True)
    assert detail["taken_at"] < detail["restored_at"]


def test_a_second_call_for_the_same_backup_changes_nothing(cast: Cast) -> None:
    cast.opened()
    first = restore()
    with nothing_happens():
        assert restore(backup=first.pk).pk == first.pk


def test_it_works_inside_the_transaction_that_loads_the_database(cast: Cast) -> None:
    opened = cast.opened()
    with transaction.atomic():
        restore()
        transaction.set_rollback(True)
    assert AccessRequest.objects.get(pk=opened.access_request_id).state == "OPEN"
    with transaction.atomic():
        restore()
    assert AccessRequest.objects.get(pk=opened.access_request_id).state == "CLOSED"


def test_a_backup_from_the_future_is_refused(cast: Cast) -> None:
    with nothing_happens(), pytest.raises(Unacceptable, match="from the future"):
        restore(taken=-HOUR)


def test_sessions_tokens_links_and_proposals_end(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.ada)
    before = Person.objects.get(pk=cast.ada.pk).get_session_auth_hash()
    operations.create_token(name="mine", scopes=["tenant:read"], days=30, actor=cast.as_("ada"))
    operations.make_recovery_key(cast.contoso.pk, actor=cast.as_("ines"))
    operations.invite_person(cast.contoso.pk, email="new@contoso.example", role="approver", actor=cast.as_("ines"))
    Authenticator.objects.create(user=cast.ada, type=Authenticator.Type.RECOVERY_CODES, data={})
    token_keys.signed({"sub": "x"}, typ="test")
    assert OutboxMessage.objects.filter(state="waiting").exists()
    restore()
    assert client.get(reverse("web:home")).status_code == 302
    assert Person.objects.get(pk=cast.ada.pk).get_session_auth_hash() != before
    assert not Session.objects.exists()
    assert not Token.objects.filter(revoked_at=None).exists()
    assert not RecoveryKey.objects.live().exists()
    assert not Invitation.objects.open(clock.now()).exists()
    assert not Proposal.objects.filter(ended_at=None).exists()
    assert not OneTimeCode.objects.filter(ended_at=None).exists()
    assert not TokenKey.objects.exists()
    assert not Authenticator.objects.filter(type=Authenticator.Type.RECOVERY_CODES).exists()
    assert AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event="token_key.retired").exists()


def test_what_guards_and_processes_of_the_former_machine_had_begun_is_forgotten(cast: Cast) -> None:
    """A guard has reported more than the database knows. Nobody works on the calls and messages that were begun."""
    at = clock.now()
    guard = Guard.objects.create(
        client=cast.guard().row, number=uuid4(), life=uuid4(), acknowledged=40, backlog=3, backlog_since=at, first_at=at
    )
    for key, done_at in (("begun", None), ("done", at)):
        IdempotencyKey.objects.create(
            account=cast.ada, key=key, asked="x", begun_at=at, claimed_until=at, done_at=done_at
        )
    cast.submitted()
    assert OutboxMessage.objects.update(claimed_until=at) > 0
    restore()
    guard.refresh_from_db()
    assert (guard.life, guard.acknowledged, guard.backlog, guard.backlog_since) == (None, 0, 0, None)
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["done"]
    assert not OutboxMessage.objects.exclude(claimed_until=None).exists()


def test_only_mails_about_the_restore_itself_wait(cast: Cast) -> None:
    cast.opened()
    restore()
    waiting = OutboxMessage.objects.filter(state="waiting", lane__in=["fanout", "mail"])
    assert set(waiting.values_list("topic", flat=True)) == {"notify.restored", "notify.window_closed"}
    parked = OutboxMessage.objects.filter(state="parked")
    assert parked.exists()
    assert {row.last_error[:13] for row in parked} == {"Restored from"}
    tenants = waiting.filter(topic="notify.restored").values_list("tenant", flat=True)
    assert set(tenants) == {None, *Tenant.objects.values_list("pk", flat=True)}


# --- What was lost ---------------------------------------------------------------------------------------------


def test_nothing_opens_before_the_confirmations_even_where_lockbox_was_off_in_the_backup(cast: Cast) -> None:
    """The test of the issue, with the state that the backup has: Lockbox off, the role still there."""
    row = restore(cast)
    assert row.people_needed == 2
    asked = cast.submitted("northwind")
    with only_a_refusal(), pytest.raises(RestoreNotConfirmed, match="the people of Northwind"):
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    confirm_people(cast, *_staff(cast))
    with only_a_refusal(), pytest.raises(RestoreNotConfirmed, match="the people of Northwind"):
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    confirm(cast, "noah", tenant="northwind")
    with pytest.raises(RestoreNotConfirmed):
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    confirm(cast, "nils", tenant="northwind")
    operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    assert AccessRequest.objects.get(pk=asked.pk).state == "OPEN"


def test_nothing_opens_before_staff_have_confirmed_the_providers_people(cast: Cast) -> None:
    restore(cast)
    asked = cast.submitted()
    confirm(cast, "ines", "ada")
    first, second = _staff(cast)
    confirm_people(cast, first)
    with only_a_refusal(), pytest.raises(RestoreNotConfirmed, match="the staff of"):
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    with pytest.raises(WrongState, match="already"):
        confirm_people(cast, first)
    confirm_people(cast, second)
    operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    operations.approve_as_customer(asked.pk, actor=cast.as_("ada"))
    assert AccessRequest.objects.get(pk=asked.pk).state == "OPEN"


def test_an_approval_of_a_restored_approver_does_not_wait_for_the_confirmation(cast: Cast) -> None:
    """Otherwise somebody whose role was taken away could approve first, and the window would open later."""
    asked = cast.confirmed()
    AccessRequest.objects.filter(pk=asked.pk).update(state="PENDING_CUSTOMER")
    restore()
    assert AccessRequest.objects.get(pk=asked.pk).state == "WITHDRAWN"


def test_what_takes_power_away_still_works(cast: Cast) -> None:
    restore()
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    cast.submitted()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=cast.priya.pk, hours=4, actor=cast.as_("alan"))
    assert Mute.objects.filter(tenant=cast.contoso).exists()
    asked = cast.submitted("fabrikam")
    operations.deny_as_provider(asked.pk, note="Not now.", actor=cast.as_("pat"))
    assert AccessRequest.objects.get(pk=asked.pk).state == "DENIED"


def test_what_was_taken_away_after_the_backup_opens_nothing(cast: Cast) -> None:
    """Revoke a window, take a role away, switch Lockbox on. Then the backup comes back: the state before all this."""
    cast.colleague()
    opened = cast.opened()
    Tenant.objects.filter(pk=cast.contoso.pk).update(lockbox_on=False)
    backup = transaction.savepoint()
    operations.revoke(opened.access_request_id, actor=cast.as_("ada"))
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    # This is what a restored database is: nobody knows of the three acts any more.
    transaction.savepoint_rollback(backup)
    assert (Grant.objects.get(pk=opened.pk).closed_at, Tenant.objects.get(pk=cast.contoso.pk).lockbox_on) == (
        None,
        False,
    )
    restore()
    assert AccessRequest.objects.get(pk=opened.access_request_id).state == "CLOSED"
    with pytest.raises(WindowNotOpen):
        content.list_items(opened.pk, cast.resource().pk, actor=cast.as_("priya"))
    asked = cast.submitted()
    with pytest.raises(RestoreNotConfirmed):
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    # The administrator does again what was lost, and then two people confirm.
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    confirm(cast, "ines", "alan")
    with pytest.raises(RestoreNotConfirmed):
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    confirm_people(cast, *_staff(cast))
    operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    assert AccessRequest.objects.get(pk=asked.pk).state == "PENDING_CUSTOMER"


@pytest.mark.parametrize("name", ["approve_as_provider", "approve_as_customer"])
def test_no_door_opens_a_window_before_the_confirmations(cast: Cast, name: str) -> None:
    """Both stages, over the pages, the API and Azure's contract. A row that waits is made as if it came later."""
    case = CASES[name]
    assert case.who is not None
    token = token_of(cast, case.who)
    row = case.prepare(cast)
    state = row.state
    restored_for_acts(cast)
    AccessRequest.objects.filter(pk=row.pk).update(state=state)
    row.refresh_from_db()
    client = Client()
    force_login(client, cast.people[case.who], is_fresh=True)
    assert case.page is not None
    calls = [partial(case.page, cast, client, row), *(partial(call, cast, Caller(token), row) for call in case.calls)]
    for call in calls:
        before = AccessRequest.objects.get(pk=row.pk).state
        assert call().status_code in (403, 409)
        assert AccessRequest.objects.get(pk=row.pk).state == before == state
    assert not Grant.objects.filter(access_request=row).exists()


def test_a_link_to_a_new_password_works_no_more(cast: Cast) -> None:
    """It may have been used after the backup, and the restored password is the former one."""
    token = ResetLinks().make_token(Person.objects.get(pk=cast.ada.pk))
    assert ResetLinks().check_token(Person.objects.get(pk=cast.ada.pk), token)
    restore()
    assert not ResetLinks().check_token(Person.objects.get(pk=cast.ada.pk), token)


def test_no_single_sign_on_that_has_begun_goes_on(cast: Cast) -> None:
    """The mark that an answer was used is in the cache, and may be later than the backup."""
    cache.set("sso:question", {"asked": "before the restore"})
    restore()
    assert cache.get("sso:question") is None


def with_metadata(cast: Cast) -> SignOn:
    """Let Contoso sign in with SAML. The metadata at its address was read just now."""
    found = {"sso_url": "https://idp.example/sso", "certificates": ["AAAA"], "valid_until": "2030-01-01T00:00:00+00:00"}
    read: dict[str, Any] = {"metadata_url": "https://idp.example/metadata", "metadata_checked_at": clock.now()}
    ProviderSignOn.objects.create(issuer="https://idp.example", changed_at=clock.now(), **read)
    return SignOn.objects.create(
        tenant=cast.contoso, issuer="https://idp.example", client_id="x", protocol=SignOn.Protocol.SAML,
        identity_provider=found, changed_at=clock.now(), **read,
    )  # fmt: skip


def test_the_metadata_of_identity_providers_is_read_again_at_once(cast: Cast) -> None:
    """A key in it may have been withdrawn after the backup."""
    with_metadata(cast)
    restore()
    assert SignOn.objects.get().metadata_checked_at is None
    assert ProviderSignOn.objects.get().metadata_checked_at is None


def test_metadata_that_only_ends_later_leaves_a_confirmation_valid(cast: Cast) -> None:
    """An identity provider can give another end at each reading. Another key is something else to confirm."""
    row = with_metadata(cast)
    before = shown(cast)
    row.identity_provider = row.pinned | {"valid_until": "2031-01-01T00:00:00+00:00", "cache_seconds": 60}
    row.save()
    assert shown(cast) == before
    for change in ({"certificates": ["AAAA", "BBBB"]}, {"sso_url": "https://evil.example/sso"}):
        SignOn.objects.update(identity_provider=row.pinned | change)
        assert shown(cast) != before


def test_each_tenant_costs_the_same_number_of_statements(cast: Cast) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            restore()
        return len(captured)

    statements()
    few = statements()
    plan = cast.contoso.plan
    Tenant.objects.bulk_create(Tenant(name=f"T{n}", slug=f"t{n}", plan=plan, created_at=clock.now()) for n in range(20))
    statements()
    assert statements() - few <= 20 * 14


# --- Who can confirm -------------------------------------------------------------------------------------------


def test_one_administrator_is_not_enough_if_there_was_a_second_person(cast: Cast) -> None:
    restore()
    confirm(cast, "ines")
    assert queries.open_at(cast.contoso.pk) is not None
    with only_a_refusal(), pytest.raises(WrongState, match="confirmed this already"):
        confirm(cast, "ines")
    confirm(cast, "alan")
    assert queries.open_at(cast.contoso.pk) is None
    assert queries.count_unconfirmed() == 2


def test_two_approvers_are_not_enough_without_an_administrator(cast: Cast) -> None:
    restore()
    confirm(cast, "ada", "alan")
    assert queries.open_at(cast.contoso.pk) is not None
    confirm(cast, "ines")
    assert queries.open_at(cast.contoso.pk) is None


def test_a_restored_administrator_who_takes_the_others_roles_away_still_needs_a_second_person(
    cast: Cast, travel: Any
) -> None:
    restore()
    for name in ("ada", "alan"):
        Membership.objects.filter(person=cast.people[name], role="approver").delete()
    confirm(cast, "ines")
    assert queries.open_at(cast.contoso.pk) is not None
    travel.by(seconds=limits.staff_change_wait().total_seconds())
    Tenant.objects.filter(pk=cast.contoso.pk).update(window_cap=3600)
    confirm(cast, "ines")
    assert queries.open_at(cast.contoso.pk) is None


def test_somebody_who_got_a_role_after_the_restore_does_not_count(cast: Cast, travel: Any) -> None:
    restore()
    travel.by(minutes=1)
    role = {"tenant": cast.contoso, "person": cast.mia, "role": "administrator", "given_at": clock.now()}
    Membership.objects.create(**role)
    with only_a_refusal(), pytest.raises(NotAllowed, match="before the restore"):
        confirm(cast, "mia")


def test_a_tenant_without_people_in_the_backup_can_not_be_confirmed_at_once(cast: Cast, travel: Any) -> None:
    """The backup may have been made before its people came. Then staff could invite one person, who confirms alone."""
    Membership.objects.filter(tenant=cast.contoso).delete()
    restore(cast)
    assert queries.open_at(cast.contoso.pk).people_needed == 0
    travel.by(minutes=1)
    role = {"tenant": cast.contoso, "person": cast.mia, "role": "administrator", "given_at": clock.now()}
    Membership.objects.create(**role)
    with only_a_refusal(), pytest.raises(NotAllowed, match="before the restore"):
        confirm(cast, "mia")
    travel.by(seconds=limits.staff_change_wait().total_seconds())
    confirm(cast, "mia")
    assert queries.open_at(cast.contoso.pk) is None


def test_the_deputy_of_an_approver_does_not_confirm(cast: Cast) -> None:
    at = clock.now()
    Membership.objects.create(tenant=cast.contoso, person=cast.otto, role="deputy", given_at=at)
    away = {"from_at": at, "until_at": at + dt.timedelta(days=1)}
    operations.set_out_of_office(cast.contoso.pk, deputy_id=cast.otto.pk, **away, actor=cast.as_("ada"))
    restore()
    with only_a_refusal(), pytest.raises(NotAllowed):
        confirm(cast, "otto")


def test_a_change_makes_earlier_confirmations_count_no_more(cast: Cast) -> None:
    """One person confirms, and then gives back what the second person would not have confirmed."""
    restore()
    old = shown(cast)
    confirm(cast, "ines")
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    with only_a_refusal(), pytest.raises(FactsChanged, match="Read everything again"):
        operations.confirm_restored(cast.contoso.pk, shown=old, actor=cast.as_("ada"))
    confirm(cast, "ada")
    assert queries.open_at(cast.contoso.pk) is not None
    confirm(cast, "ines")
    assert queries.open_at(cast.contoso.pk) is None


@pytest.mark.parametrize("name", ["mia", "otto", "frida", "stella", "priya"])
def test_nobody_else_confirms(cast: Cast, name: str) -> None:
    restore()
    with pytest.raises((NotAllowed, NotFound)):
        confirm(cast, name)
    assert not RestoredConfirmation.objects.exists()
    assert not AuditEntry.objects.filter(event="restored.confirmed").exists()


def test_a_confirmation_needs_fresh_proof(cast: Cast) -> None:
    restore()
    with pytest.raises(StepUpRequired):
        operations.confirm_restored(cast.contoso.pk, shown=shown(cast), actor=cast.as_("ines", fresh=False))
    what = queries.digest(queries.facts_of_provider())
    with pytest.raises(StepUpRequired):
        operations.confirm_restored_people(shown=what, actor=cast.as_("stella", fresh=False))
    assert not RestoredConfirmation.objects.exists()


def test_without_a_restore_nothing_can_be_confirmed(cast: Cast) -> None:
    with only_a_refusal(), pytest.raises(WrongState, match="Nothing that was restored"):
        confirm(cast, "ines")
    with pytest.raises(WrongState, match="Nothing that was restored"):
        confirm_people(cast, "stella")


def test_a_member_of_the_staff_who_joined_after_the_restore_does_not_count(cast: Cast, travel: Any) -> None:
    restore()
    travel.by(minutes=1)
    Person.objects.get_queryset().filter(pk=cast.erik.pk).update(is_staff=True)
    StaffTerm.begin(cast.erik, at=clock.now())
    with pytest.raises(NotAllowed, match="before the restore"):
        confirm_people(cast, "erik")


def test_a_role_that_changes_makes_the_staffs_earlier_confirmation_count_no_more(cast: Cast) -> None:
    restore(cast)
    first, second = _staff(cast)
    confirm_people(cast, first)
    QueueAssignment.objects.filter(person=cast.erik).delete()
    confirm_people(cast, second)
    assert queries.open_at_provider() is not None
    confirm_people(cast, first)
    assert queries.open_at_provider() is None


def test_a_confirmation_is_in_the_log_and_mailed_at_once(cast: Cast) -> None:
    restore()
    confirm(cast, "ines")
    entry = AuditEntry.objects.filter(tenant_id=cast.contoso.pk, event="restored.confirmed").get()
    assert (entry.actor_name, _detail(entry)["complete"]) == (cast.ines.name, False)
    assert OutboxMessage.objects.filter(topic="notify.restored_confirmed", tenant=cast.contoso).count() == 1
    row = RestoredConfirmation.objects.get()
    assert queries.digest(row.confirmed) == row.digest == _detail(entry)["digest"]


def test_queued_tasks_are_forgotten(cast: Cast) -> None:
    OrmQ.objects.create(key="x", payload="y", lock=clock.now())
    restore()
    assert not OrmQ.objects.filter(key="x").exists()


# --- Somebody restores on purpose, twice or with accounts of their own -----------------------------------------


def test_a_window_stays_closed_if_the_clock_was_too_late_at_the_restore(cast: Cast, travel: Any) -> None:
    """The operator can run the command with any clock. At that time, the window seemed to be over already."""
    opened, waiting = cast.opened(), cast.submitted()
    travel.by(hours=30)
    restore()
    travel.by(hours=-30)
    grant = Grant.objects.get(pk=opened.pk)
    assert grant.closes_at > clock.now()
    assert (grant.closed_at, grant.is_live(clock.now())) == (grant.closes_at, False)
    with pytest.raises(WindowNotOpen):
        content.list_items(opened.pk, cast.resource().pk, actor=cast.as_("priya"))
    assert AccessRequest.objects.get(pk=waiting.pk).state == "EXPIRED"
    # Nobody can revoke or withdraw what is over.
    events = AuditEntry.objects.filter(correlation_id__in=[opened.access_request_id, waiting.pk]).order_by("pk")
    ends = [event for event in events.values_list("event", flat=True) if event != "act.refused"][-2:]
    assert set(ends) == {"grant.closed", "access_request.expired"}
    assert grant.close_reason == "elapsed"


def test_a_second_restore_before_the_confirmations_needs_no_fewer_people(cast: Cast) -> None:
    """A restored administrator takes the others' roles away. A backup of this state is made and restored, too."""
    restore()
    for name in ("ada", "alan"):
        Membership.objects.filter(person=cast.people[name], role="approver").delete()
    restore()
    confirm(cast, "ines")
    assert queries.open_at(cast.contoso.pk) is not None


def test_a_second_restore_of_the_staff_needs_no_fewer_people(cast: Cast) -> None:
    restore(cast)
    Person.objects.get_queryset().filter(pk=cast.people["sten"].pk).update(is_active=False)
    row = restore()
    assert row.people_needed == 2
    confirm_people(cast, "stella")
    assert queries.open_at_provider() is not None


def test_nobody_counts_who_came_between_two_restores(cast: Cast, travel: Any) -> None:
    restore(cast)
    travel.by(minutes=1)
    role = {"tenant": cast.contoso, "person": cast.mia, "role": "administrator", "given_at": clock.now()}
    Membership.objects.create(**role)
    travel.by(minutes=1)
    restore()
    with only_a_refusal(), pytest.raises(NotAllowed, match="before the restore"):
        confirm(cast, "mia")


def test_a_second_restore_names_the_earlier_backup(cast: Cast) -> None:
    """The mails of the first one were perhaps never sent. The second backup is a minute old, and the first a month."""
    first = restore(taken=720 * HOUR)
    restore(taken=HOUR / 60)
    found = queries.unconfirmed(cast.contoso.pk)
    assert found is not None
    assert found.taken_at == first.taken_at
    mails = OutboxMessage.objects.filter(topic="notify.restored", state="waiting")
    times = {dt.datetime.fromisoformat(row.payload["taken_at"]) for row in mails}
    assert times == {first.taken_at}
    client = Client()
    cast.ines.refresh_from_db()
    force_login(client, cast.ines)
    page = client.get(reverse("web:restored", args=[cast.contoso.pk]))
    assert page.context["earliest"].taken_at == first.taken_at


def test_a_superuser_who_was_made_just_before_the_backup_does_not_count(cast: Cast) -> None:
    """The command `createsuperuser` promises this for the whole waiting time."""
    Person.objects.create_superuser("second@provider.example", "a long password of somebody")
    cast.people["second"] = Person.objects.get(email="second@provider.example")
    restore()
    confirm_people(cast, "stella")
    with pytest.raises(NotAllowed, match="long enough"):
        confirm_people(cast, "second")
    assert queries.open_at_provider() is not None


def test_a_superuser_who_was_made_when_the_wait_was_over_does_not_count(cast: Cast, travel: Any) -> None:
    restore(cast)
    travel.by(seconds=limits.staff_change_wait().total_seconds() + 60)
    Person.objects.create_superuser("second@provider.example", "a long password of somebody")
    cast.people["second"] = Person.objects.get(email="second@provider.example")
    confirm_people(cast, "stella")
    with pytest.raises(NotAllowed, match="long enough"):
        confirm_people(cast, "second")
    assert queries.open_at_provider() is not None


def test_staff_who_switch_their_colleagues_off_can_not_confirm_alone_soon(cast: Cast, travel: Any) -> None:
    restore(cast)
    travel.by(seconds=limits.staff_change_wait().total_seconds() - 60)
    sten = cast.people["sten"]
    Person.objects.get_queryset().filter(pk=sten.pk).update(is_active=False)
    StaffTerm.end(sten, at=clock.now())
    travel.by(minutes=2)
    confirm_people(cast, "stella")
    assert queries.open_at_provider() is not None


def test_people_confirm_which_services_lockbox_does_not_cover(cast: Cast) -> None:
    """The service was covered after the backup. Without that, the provider's approval alone opens a window."""
    Service.objects.filter(pk=cast.exchange.pk).update(is_covered=False)
    restore()
    name = cast.exchange.name
    client = Client()
    cast.ines.refresh_from_db()
    force_login(client, cast.ines)
    page = client.get(reverse("web:restored", args=[cast.contoso.pk]))
    assert f"Lockbox does not cover {name}" in page.content.decode()
    assert queries.facts_of_provider()["not_covered"] == [name]
    before = shown(cast)
    Service.objects.filter(pk=cast.exchange.pk).update(is_covered=True)
    assert shown(cast) != before

"""Ends what a restored database would let people and programs use again: sessions, secrets of one use, and plans.

Each of these may have been used, ended or replaced after the backup, and the database can't know it.
`tests/operations/test_restored.py` says for every table why it is ended here or kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.apps import apps
from django.core.cache import cache
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from requests_app.models import (
    AccessDraft,
    AddressChange,
    Guard,
    HeldRow,
    IdempotencyKey,
    Import,
    Installation,
    Invitation,
    OneTimeCode,
    OutboxMessage,
    Person,
    Proposal,
    ProviderSignOn,
    RecoveryKey,
    SignOn,
    Token,
    TokenKey,
)
from requests_app.models.outbox import FANOUT, MAIL
from requests_app.operations._change import Step
from requests_app.operations._receivers import park
from requests_app.operations._token_keys import remove

#: Tables whose rows all end: sessions, links in mails, queued tasks, and signs of life of the former machine.
_EMPTIED = (
    "sessions.Session",
    "usersessions.UserSession",
    "account.EmailConfirmation",
    "django_q.OrmQ",
    "requests_app.Heartbeat",
)
#: What the outbox says about a mail that is not sent. An operator reads it, as every error there.
NOT_SENT = "Restored from a backup: this mail may have been sent before, so it is not sent again."


def end_everything(at: datetime) -> None:
    """End everything that is not access, in a few statements, however many people there are."""
    for end in _ENDS:
        end(at)


def end_token_keys(current: Step) -> None:
    """Remove the keys of grant tokens.

    A window that opened after the backup is unknown now, so nothing would refuse its grant token.
    """
    remove(current, TokenKey.objects.all(), at_once=True)


def _sessions(at: datetime) -> None:
    """Sign everybody out, and take their recovery codes: nobody knows which of them were used."""
    for table in _EMPTIED:
        apps.get_model(table)._default_manager.all().delete()
    apps.get_model("mfa.Authenticator")._default_manager.filter(type="recovery_codes").delete()
    # Single sign-ons that have begun, and the marks of those that were used, may be in a table of the database.
    cache.clear()
    # A session that the database does not know, because it began after the backup, has the former hash.
    Person.objects.get_queryset().update(session_epoch=F("session_epoch") + 1)


def _tokens(at: datetime) -> None:
    Token.objects.filter(revoked_at=None).update(revoked_at=at)


def _one_time_codes(at: datetime) -> None:
    OneTimeCode.objects.filter(ended_at=None).update(ended_at=at, used_at=Coalesce("used_at", Value(at)))


def _links(at: datetime) -> None:
    """End every link that was mailed or shown: it may have been used after the backup."""
    Invitation.objects.filter(accepted_at=None, withdrawn_at=None).update(withdrawn_at=at)
    AddressChange.objects.filter(ended_at=None).update(ended_at=at)
    Installation.objects.update(setup_link_hash="", setup_link_expires_at=None, setup_link_owner_hash="")


def _recovery_keys(at: datetime) -> None:
    RecoveryKey.objects.filter(ended_at=None).update(ended_at=at)


def _plans(at: datetime) -> None:
    """End what waits for a second person or for its time, and imports that are not finished."""
    HeldRow.objects.filter(outcome="").update(outcome=HeldRow.Outcome.LAPSED, ended_at=at)
    Import.objects.filter(finished_at=None).update(finished_at=at)
    Proposal.objects.filter(ended_at=None).update(ended_at=at, outcome=Proposal.Outcome.WITHDRAWN)
    AccessDraft.objects.filter(ended_at=None).update(ended_at=at)


def _mails(at: datetime) -> None:
    """Park the mails that wait. Messages to programs wait on: their receivers know a message that they got before."""
    park(OutboxMessage.objects.filter(lane__in=[FANOUT, MAIL]), NOT_SENT)
    OutboxMessage.objects.exclude(claimed_until=None).update(claimed_until=None)


def _guards(at: datetime) -> None:
    """Let each guard say again who it is and where its numbers begin: it has reported more than the database knows."""
    Guard.objects.update(life=None, acknowledged=0, backlog=0, backlog_since=None)


def _metadata(at: datetime) -> None:
    """Read all metadata of identity providers again: a key in it may have been withdrawn after the backup."""
    for model in (SignOn, ProviderSignOn):
        model._default_manager.exclude(metadata_url="").update(metadata_checked_at=None)


def _processes(at: datetime) -> None:
    """Forget the calls that processes of the former machine were answering."""
    IdempotencyKey.objects.filter(done_at=None).delete()


_ENDS: tuple[Callable[[datetime], None], ...] = (
    _sessions,
    _tokens,
    _one_time_codes,
    _links,
    _recovery_keys,
    _plans,
    _mails,
    _guards,
    _metadata,
    _processes,
)

"""A database that was set back without the program: by pg_restore, by a snapshot, or as a file that was copied back.

Nobody has closed what such a database says is open. So as soon as a signed head shows it, all windows are closed and
none opens. An operator then says when the copy was made, which does the same as the program that restores a backup.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Max

from audit_app import canonical, restored_database
from audit_app.models import ChainHead
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.restored import INSTALLATION_SET_BACK, NOTE_SET_BACK
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.states import State
from requests_app.models import AccessRequest, Restoration, RestoredTenant, Tenant
from requests_app.operations._change import act
from requests_app.operations._ending import end_access
from requests_app.queries import restored as queries


def note_set_back(*, actor: Actor) -> bool:
    """Close all windows, and open none, if an alarm shows that the database was set back. Return whether it was.

    Do nothing if a restore, or an operator, has answered the alarm. A process that was killed half way does the rest
    at its next call.
    """
    since = restored_database.set_back_since()
    if since is not None and not _is_answered(since):
        _mark(since, actor)
    if not queries.is_set_back():
        return False
    # An act of its own: the access requests must be locked before a log is, and the mark has locked the provider's.
    is_open = AccessRequest.objects.filter(state=State.OPEN)
    if is_open.exists():
        with act(NOTE_SET_BACK, actor=actor) as current:
            current.at = clock.now()
            end_access(current, is_open, cause="restored", also_over=True)
    return True


def _mark(since: datetime, actor: Actor) -> None:
    """Store that the database was set back. From now on, nobody can approve and nobody can confirm anything."""
    with act(NOTE_SET_BACK, actor=actor) as current:
        taken_at = ChainHead.objects.aggregate(last=Max("last_at"))["last"] or since
        row = Restoration(pk=Restoration.SET_BACK, taken_at=taken_at, people_needed=queries.people_needed(None))
        current.concerns("installation", row, PROVIDER_LOG)
        if _is_answered(since):
            # Another process was faster.
            return
        last = queries.newest()
        times = [current.at, since, *([last.restored_at + timedelta(microseconds=1)] if last else [])]
        row.restored_at = max(times)
        needed = {tenant: queries.people_needed(tenant.pk) for tenant in Tenant.objects.order_by("pk")}
        RestoredTenant.objects.filter(of=row).delete()
        row.save()
        RestoredTenant.objects.bulk_create(
            [RestoredTenant(of=row, tenant=tenant, people_needed=number) for tenant, number in needed.items()]
        )
        current.witness(INSTALLATION_SET_BACK, detail={"since": canonical.instant(since)})


def _is_answered(since: datetime) -> bool:
    return Restoration.objects.filter(restored_at__gte=since).exists()

"""The first page of the administration. Each number has an explanation, and a link to the rows that it counts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_q.models import Failure, OrmQ

from audit_app.models import AuditEntry, ChainHead, LogAlarm, SignedHead
from requests_app.domain.actors import Actor
from requests_app.domain.states import State
from requests_app.doors.admin.columns import link_to, list_of, page_of
from requests_app.doors.admin.proposals import WAITS
from requests_app.models import (
    AccessRequest,
    Grant,
    Guard,
    Heartbeat,
    Invitation,
    OutboxMessage,
    Proposal,
    Resource,
    SignalStream,
    TaskAttempt,
)
from requests_app.operations._change import PROVIDER_LOG
from requests_app.queries import dashboard as queries
from requests_app.queries.dashboard import Count, Dashboard, Sign, Stage
from requests_app.words import mail, times


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A number on the first page. `alarm` is a text that says what is wrong, because colour alone is not enough."""

    label: str
    figure: str
    detail: str
    url: str
    alarm: str = ""


def context_of(actor: Actor, at: dt.datetime) -> dict[str, Any]:
    found = queries.dashboard(actor=actor, at=at)
    return {
        "groups": [
            (_("Access"), [*(_stage(stage, at) for stage in found.stages), _windows(found, at)]),
            (_("Changes by staff"), [_unconfirmed(found, at), *_overtaken(found)]),
            (_("Signed logs"), [_refused(found), _unsigned(found, at)]),
            (_("Mail"), [_outbox(found, at), _parked(found)]),
            (_("Resources"), [_unreachable(found, at), *_silent(found, at), *_failing_streams(found, at)]),
            (_("Background work"), [_workers(found, at), _sweep(found, at), _queue(found), _failure(found, at)]),
        ],
        "closing_next": [
            {
                "grant": link_to(grant.access_request),
                "tenant": link_to(grant.tenant),
                "engineer": link_to(grant.engineer),
                "closes_at": grant.closes_at,
                "url": page_of(grant),
            }
            for grant in found.closing_next
        ],
        "windows_url": list_of(Grant, window="open"),
        "logs": [
            {
                "name": _("The provider’s own log")
                if log.tenant_id == PROVIDER_LOG
                else log.tenant_name or log.tenant_id,
                "size": log.size,
                "last_at": log.last_at,
                "url": list_of(AuditEntry, tenant_id=log.tenant_id),
            }
            for log in found.largest_logs
        ],
        "logs_words": _("%(entries)s in %(logs)s")
        % {
            "entries": ngettext("%(n)d entry", "%(n)d entries", found.entries) % {"n": found.entries},
            "logs": ngettext("%(n)d log", "%(n)d logs", found.logs) % {"n": found.logs},
        },
        "logs_url": list_of(ChainHead),
    }


def _stage(stage: Stage, at: dt.datetime) -> Tile:
    who = _("Waiting for the provider") if stage.state == State.PENDING_PROVIDER else _("Waiting for the customer")
    late = ngettext(
        "%(n)d more access request has passed its deadline, but is not recorded as expired yet",
        "%(n)d more access requests have passed their deadline, but are not recorded as expired yet",
        stage.late.n,
    ) % {"n": stage.late.n}
    return Tile(
        label=who,
        figure=_figure(stage.waiting),
        detail=_("The first deadline is %(when)s.") % {"when": _relative(stage.oldest, at)}
        if stage.oldest
        else _("Nothing waits."),
        url=list_of(AccessRequest, state=stage.state.value, o="8"),
        alarm=late if stage.late.n else "",
    )


def _windows(found: Dashboard, at: dt.datetime) -> Tile:
    soonest = found.closing_next[0].closes_at if found.closing_next else None
    return Tile(
        label=_("Open windows"),
        figure=_figure(found.open_windows),
        detail=_("The next window closes %(when)s.") % {"when": _relative(soonest, at)}
        if soonest
        else _("No window is open."),
        url=list_of(Grant, window="open", o="6"),
    )


def _unconfirmed(found: Dashboard, at: dt.datetime) -> Tile:
    until = found.unconfirmed_until
    return Tile(
        label=_("Waiting for a second person"),
        figure=_figure(found.unconfirmed),
        detail=_("The first ends without effect if nobody confirms it by %(when)s.") % {"when": _relative(until, at)}
        if until
        else _("No change waits for a confirmation."),
        url=list_of(Proposal, state=WAITS),
        alarm=_("Read these changes, then confirm or withdraw them") if until else "",
    )


def _overtaken(found: Dashboard) -> list[Tile]:
    """Return a tile only if there is something to do, because this happens once in an installation."""
    if not found.overtaken.n:
        return []
    tile = Tile(
        label=_("Ended invitations"),
        figure=_figure(found.overtaken),
        detail=_("A customer switched Lockbox on before these people accepted. Their links no longer work."),
        url=list_of(Invitation, state="overtaken"),
        alarm=_("Send these invitations again, or withdraw them"),
    )
    return [tile]


def _outbox(found: Dashboard, at: dt.datetime) -> Tile:
    since = found.outbox_due_since
    return Tile(
        label=_("Waiting to be sent"),
        figure=_figure(found.outbox_waiting),
        detail=_("The oldest message has been due since %(when)s.") % {"when": _relative(since, at)}
        if since
        else _("Nothing is due."),
        url=list_of(OutboxMessage, state="waiting"),
        alarm=_failing(found, at) or (_("Mail is late") if found.outbox_is_late else ""),
    )


def _failing(found: Dashboard, at: dt.datetime) -> str:
    if found.failing is None:
        return ""
    return mail.failing(found.failing.n, since=found.failing.since, reason=found.failing.reason, at=at).rstrip(".")


def _parked(found: Dashboard) -> Tile:
    nobody_waits = not found.failing and not found.outbox_waiting.n
    return Tile(
        label=_("Mails that could not be delivered"),
        figure=_figure(found.mail_parked),
        detail=_("Somebody did not get a mail that they need.")
        if found.mail_parked.n
        else (_("Everybody got their mail.") if nobody_waits else _("No mail was given up.")),
        url=list_of(OutboxMessage, state="parked"),
        alarm=_("Check these mails, and send them again") if found.mail_parked.n else "",
    )


def _refused(found: Dashboard) -> Tile:
    n = found.logs_refused.n
    return Tile(
        label=_("Logs that the signer refuses"),
        figure=_figure(found.logs_refused),
        detail=_("These logs differ from what was signed, or can’t be compared with it.")
        if n
        else _("At present, the signer refuses no log."),
        url=list_of(LogAlarm),
        alarm=_("Each alarm says what was found and what to do") if n else "",
    )


def _unsigned(found: Dashboard, at: dt.datetime) -> Tile:
    since = found.unsigned_since
    return Tile(
        label=_("Waiting for a checkpoint"),
        figure=_figure(found.logs_unsigned),
        detail=_("The oldest entry has waited since %(when)s.") % {"when": _relative(since, at)}
        if since
        else _("Every entry is signed."),
        url=list_of(SignedHead),
        alarm=_("Check that the machine with the log’s key works") if found.signing_is_late else "",
    )


def _unreachable(found: Dashboard, at: dt.datetime) -> Tile:
    since, new = found.unreachable_since, found.newly_unreachable
    alarm = ngettext(
        "%(n)s began to fail within the last day. Nobody can read it in a window",
        "%(n)s began to fail within the last day. Nobody can read them in a window",
        new.n,
    ) % {"n": _figure(new)}
    return Tile(
        label=_("Resources that can’t be reached"),
        figure=_figure(found.unreachable),
        detail=_("The first has failed since %(when)s.") % {"when": _relative(since, at)}
        if since
        else _("The last tests found no problem."),
        url=list_of(Resource, reached="no"),
        alarm=alarm if new.n else "",
    )


def _silent(found: Dashboard, at: dt.datetime) -> list[Tile]:
    """Return a number only if an application is silent, because most installations have no guards."""
    if not found.silent:
        return []
    since = min(each.silence.since for each in found.silent)
    return [
        Tile(
            label=_("Applications that do not report"),
            figure=str(len({each.service.pk for each in found.silent})),
            detail=_("The first has not reported since %(when)s.") % {"when": _relative(since, at)},
            url=list_of(Guard),
            alarm=_("A window is or was open there, and what happens is not in the log yet"),
        )
    ]


def _failing_streams(found: Dashboard, at: dt.datetime) -> list[Tile]:
    if not found.failing_streams.n:
        return []
    return [
        Tile(
            label=_("Signal streams that fail"),
            figure=_figure(found.failing_streams),
            detail=_("The first alarm was sent %(when)s.") % {"when": _relative(found.streams_failing_since, at)},
            url=list_of(SignalStream, failing="yes"),
            alarm=_("The receiver does not learn when windows end"),
        )
    ]


def _workers(found: Dashboard, at: dt.datetime) -> Tile:
    return Tile(
        label=_("Clusters that are running"),
        figure=str(found.workers_alive),
        detail=_seen(_("A cluster was last seen"), found.workers, at),
        url=list_of(Heartbeat),
        alarm="" if found.workers.is_fresh else _("No cluster is running"),
    )


def _sweep(found: Dashboard, at: dt.datetime) -> Tile:
    return Tile(
        label=_("Last sweep"),
        figure=times.relative_words(found.sweep.at, at) if found.sweep.at else _("never"),
        detail=_seen(_("The scheduler (beat) was last seen"), found.beat, at),
        url=list_of(Heartbeat),
        alarm=""
        if found.sweep.is_fresh
        else _("The sweep, which records ended access requests and windows, is late. Deadlines still apply"),
    )


def _queue(found: Dashboard) -> Tile:
    return Tile(
        label=_("Queued tasks"),
        figure=_figure(found.queued),
        detail=_("A worker is doing the task, or the task waits for a worker.")
        if found.queued.n
        else _("No task waits."),
        url=list_of(OrmQ),
    )


def _failure(found: Dashboard, at: dt.datetime) -> Tile:
    last = found.last_failure
    parked = found.tasks_parked.n
    given_up = ngettext(
        "%(n)d task failed too often and is not tried again",
        "%(n)d tasks failed too often and are not tried again",
        parked,
    ) % {"n": parked}
    return Tile(
        label=_("Last failure"),
        figure=times.relative_words(last.stopped, at) if last else _("none"),
        detail=last.func if last else _("No task has failed."),
        url=list_of(TaskAttempt, parked="yes") if parked else list_of(Failure),
        alarm=given_up if parked else "",
    )


def _seen(what: str, sign: Sign, at: dt.datetime) -> str:
    when = times.relative_words(sign.at, at) if sign.at else _("never")
    return _("%(what)s: %(when)s.") % {"what": what, "when": when}


def _relative(when: dt.datetime | None, at: dt.datetime) -> str:
    if when is None:
        return ""
    return f"{times.when_words(when, at)} ({times.relative_words(when, at)})"


def _figure(count: Count) -> str:
    return _("over %(n)d") % {"n": count.n} if count.is_capped else str(count.n)

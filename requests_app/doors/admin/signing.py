"""The signing of the logs, read-only: checkpoints, keys, and alarms with instructions."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit_app import checkpoints
from audit_app.log_name import clock_key
from audit_app.models import Checkpoint, ClosedShard, LogAlarm, LogCheck, LogKey, SignerLease
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.log import TOMBSTONE
from requests_app.doors.admin.acts import ActForm, AdminAction
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import NOTHING, mono, preformatted
from requests_app.doors.admin.filters import by_choice
from requests_app.doors.admin.log import TENANT_NAME, ByLog, log_name, tenant
from requests_app.platform import program
from requests_app.queries.signing_hosts import signing_hosts
from requests_app.words import text, times

#: What was found, by the code of the refusal (audit_app.checkpoints.Refusal).
_FOUND: dict[str, Promise] = {
    "missing": gettext_lazy("An entry is missing: number %(seq)s."),
    "altered": gettext_lazy("An entry has changed since it was written: number %(seq)s."),
    "different": gettext_lazy("%(signed)s entries were signed. At least one of them has changed."),
    "shorter": gettext_lazy("%(signed)s entries were signed, but only %(found)s are there."),
    "tile": gettext_lazy("The stored hashes of the tree do not match each other, or some are missing."),
    "signature": gettext_lazy("The machine that signs makes errors: one of its signatures was invalid."),
    "no_tombstone": gettext_lazy(
        "A new part of the log begins at number %(seq)s, but no tombstone closed the part before it."
    ),
    "outside_behind": gettext_lazy(
        "%(signed)s entries are signed, but the heads outside the database (LOG_HEADS) have only %(kept)s, as the host "
        "%(host)s sees them."
    ),
    "outside_unreadable": gettext_lazy(
        "The heads outside the database (LOG_HEADS) can’t be read on the host %(host)s."
    ),
    "unwitnessed": gettext_lazy(
        "A backup was restored, and the newest signed heads are lost. These witnesses have not confirmed the log yet: "
        "%(waiting_for)s"
    ),
}
_DAMAGED = gettext_lazy(
    "If a backup was restored, restore a newer backup that contains all signed entries. Then the log is signed "
    "again automatically. If there is no such backup, or if somebody changed the database, save a copy of the "
    "database, inform the tenant, and close this log with a tombstone. The log continues with a new part, and the "
    "signed entries can still be proven."
)
_OUTSIDE = format_lazy(
    gettext_lazy(
        "Make the place of the heads available again on the machine that signs, or restore it. If there is no backup, "
        "and you are sure that the database is not an older copy, run on that machine: "
        '{command} TENANT --because "what happened"'
    ),
    command=program.command("log_heads adopt"),
)
_MACHINE = gettext_lazy("Sign on another machine. The log itself is unchanged.")
_RESTORED = format_lazy(
    gettext_lazy(
        "The witnesses are asked automatically. When all of them have confirmed the log, it is signed again. If a "
        "witness has seen a longer or another log, close this log with a tombstone. If a witness does not answer, or "
        "the tenant has no witness, and you are sure that nothing was signed after the backup, run on the machine "
        "that signs: "
        '{command} TENANT --because "what happened"'
    ),
    command=program.command("log_heads adopt"),
)
_WAYS: dict[str, Promise] = {
    "unwitnessed": _RESTORED,
    "outside_behind": _OUTSIDE,
    "outside_unreadable": _OUTSIDE,
    "signature": _MACHINE,
}


class _Unknown(dict[str, Any]):
    """The numbers of an alarm. An alarm of an older version of the product may lack numbers; they are shown as "?"."""

    def __missing__(self, key: str) -> str:
        return "?"


@admin.display(description=gettext_lazy("what was found"))
def found(alarm: LogAlarm) -> str:
    words = _FOUND.get(alarm.code)
    return text.visible_single(str(words) % _Unknown(alarm.detail) if words else alarm.code)


@admin.display(description=gettext_lazy("how to repair it"))
def way_back(alarm: LogAlarm) -> str:
    return str(_WAYS.get(alarm.code, _DAMAGED))


@admin.display(description=gettext_lazy("code"))
def code(alarm: LogAlarm) -> str:
    return mono(alarm.code)


@admin.display(description=gettext_lazy("log"))
def origin(row: Any) -> str:
    return mono(checkpoints.origin_of(row.tenant_id, row.shard))


@admin.display(description=gettext_lazy("root"))
def root(row: Checkpoint) -> str:
    return text.digest_groups(bytes(row.root).hex())


@admin.display(description=gettext_lazy("checkpoint"))
def note(row: Any) -> str:
    text = row.note if isinstance(row, Checkpoint) else row.checkpoint
    return preformatted(text) if text else NOTHING


@admin.display(description=gettext_lazy("part"), ordering="shard")
def part(row: Any) -> str:
    return str(row.shard + 1)


@admin.display(description=gettext_lazy("key id"))
def key_id(row: LogKey) -> str:
    return mono(clock_key(bytes(row.public)).key_id.hex())


@admin.display(description=gettext_lazy("public key to check the dates of checkpoints"))
def vkey(row: LogKey) -> str:
    return mono(clock_key(bytes(row.public)))


@admin.display(description=gettext_lazy("what was found"))
def verdict(row: LogCheck) -> str:
    if row.ended_at is None:
        return _("under way")
    if not row.flaw:
        return _("good")
    return row.flaw if row.flaw_seq is None else _("entry %(seq)d: %(why)s") % {"seq": row.flaw_seq, "why": row.flaw}


#: What the administration says about a host that has the log's key, by its state.
_HOSTS: dict[str, Promise] = {
    "ready": gettext_lazy("%(host)s can sign. It reported on %(when)s."),
    "refused": gettext_lazy("%(host)s can’t sign: %(why)s. It reported on %(when)s."),
    "away": gettext_lazy("%(host)s has not reported since %(when)s."),
}


@admin.display(description=gettext_lazy("hosts with the log’s key"))
def hosts(_row: SignerLease) -> str:
    now = clock.now()
    lines = [
        (
            str(_HOSTS[host.state])
            % {"host": host.name, "why": host.refused.rstrip("."), "when": times.when_words(host.seen_at, now)},
        )
        for host in signing_hosts(now)
    ]
    return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", lines)) if lines else NOTHING


@admin.display(description=gettext_lazy("hosts with the log’s key"))
def host_count(_row: SignerLease) -> str:
    count = Counter(host.state for host in signing_hosts(clock.now()))
    # Translators: numbers of hosts
    words = _("%(ready)d can sign, %(refused)d can’t sign, %(away)d away")
    return words % {state: count[state] for state in _HOSTS}


class TombstoneForm(ActForm):
    comment = forms.CharField(
        label=gettext_lazy("What happened"),
        widget=forms.Textarea,
        max_length=limits.COMMENT_MAX,
        help_text=gettext_lazy("This text is written to the tenant’s log, where the tenant reads it."),
    )


def tombstone(row: LogAlarm, actor: Actor, data: dict[str, Any]) -> UUID:
    return operations.tombstone(row.pk, comment=data["comment"], actor=actor)


class OfOneLog(StaffAdmin):
    """A table in which each row belongs to one log."""

    list_filter: ClassVar[Any] = (ByLog,)

    def name_of(self, row: Any) -> str:
        return log_name(row.tenant_id, row.tenant_name)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(tenant_name=TENANT_NAME)


class LogAlarmAdmin(OfOneLog):
    list_display = (tenant, found, "since", "last_at", code)
    ordering = ("since",)
    words = gettext_lazy("Log alarms")
    lead = gettext_lazy(
        "Logs that the signer refuses. Access windows, decisions and the log continue to work, but the log is not "
        "signed until it is repaired. An alarm disappears automatically when the log is correct again."
    )
    facts: ClassVar = [("", (tenant, found, "since", "last_at", code)), (gettext_lazy("What to do"), (way_back,))]
    related: ClassVar = [
        Related(model=Checkpoint, by=lambda row: {"tenant_id": row.pk}, order=("-id",), title=gettext_lazy("Signed")),
        Related(model=ClosedShard, by=lambda row: {"tenant_id": row.pk}, order=("-id",)),
    ]
    acts: ClassVar = [
        AdminAction(
            name="tombstone",
            label=gettext_lazy("Close this log with a tombstone"),
            form=TombstoneForm,
            run=tombstone,
            done=TOMBSTONE.done,
            explains=gettext_lazy(
                "This cannot be undone. The log in this database is closed permanently. An entry records what was "
                "signed, what was found, and your text. The next entries form a new part. Nothing is deleted. "
                "Close the log only if no backup contains the missing entries, and save a copy of the database "
                "first."
            ),
        )
    ]


class CheckpointAdmin(OfOneLog):
    list_display = (tenant, part, "size", "signed_at", "dated_at")
    ordering = ("-id",)
    words = gettext_lazy("Checkpoints")
    lead = gettext_lazy(
        "Each checkpoint is a signed state of a log. If nothing happens in the log for an hour, its newest checkpoint "
        "gets a new date."
    )
    facts: ClassVar = [
        ("", (tenant, part, "size", "signed_at", "dated_at")),
        (gettext_lazy("Evidence"), (origin, root, note)),
    ]

    def name_of(self, row: Any) -> str:
        return _("%(log)s, %(size)d entries") % {"log": log_name(row.tenant_id, row.tenant_name), "size": row.size}


class ClosedShardAdmin(OfOneLog):
    list_display = (tenant, part, "first_seq", "end_seq", "found_size", "closed_at")
    ordering = ("-id",)
    words = gettext_lazy("Closed parts of logs")
    lead = gettext_lazy("Parts that a tombstone closed. The numbers of their entries are never used again.")
    facts: ClassVar = [
        ("", (tenant, part, "first_seq", "end_seq", "found_size", "closed_at")),
        (gettext_lazy("Signed last"), (origin, note)),
    ]


class SignedHeadAdmin(OfOneLog):
    list_display = (tenant, part, "size", "dated_at")
    ordering = ("dated_at", "pk")
    words = gettext_lazy("Signed so far")
    lead = gettext_lazy(
        "How far each log is signed, and when the signer last confirmed this. The log with the oldest confirmation is "
        "first."
    )
    facts: ClassVar = [("", (tenant, part, "size", "dated_at", "checked_to", origin))]


class SignerAdmin(StaffAdmin):
    list_display = ("host", "since", "taken_from", "taken_over_at", host_count)
    ordering = ("pk",)
    words = gettext_lazy("Who signs")
    lead = gettext_lazy(
        "The host that signs the logs, or has signed last. If it is lost, another host that has the key takes over. "
        "This page then names the lost host, which you have to repair. A host that can’t sign can’t take over: correct "
        "its settings."
    )
    facts: ClassVar = [("", ("host", "since", "until", "released_at", "taken_from", "taken_over_at", hosts))]

    def name_of(self, row: SignerLease) -> str:
        return row.host


class LogKeyAdmin(StaffAdmin):
    list_display = (key_id, "first_used_at")
    ordering = ("-first_used_at",)
    words = gettext_lazy("Log keys")
    lead = format_lazy(
        gettext_lazy(
            "The public keys that belong to the logs’ signing keys. The private keys are not in the database. To "
            "replace a key: {command}"
        ),
        command=program.command("log_key rotate"),
    )
    facts: ClassVar = [("", (key_id, "first_used_at", vkey))]

    def name_of(self, row: LogKey) -> str:
        return clock_key(bytes(row.public)).key_id.hex()


class LogCheckAdmin(OfOneLog):
    list_display = (tenant, "asked_at", "done", "size", verdict)
    list_filter: ClassVar[Any] = (
        ByLog,
        by_choice(
            "found",
            gettext_lazy("what was found"),
            [("bad", gettext_lazy("something is wrong")), ("good", gettext_lazy("good"))],
            narrow=lambda rows, value: (
                rows.exclude(flaw="") if value == "bad" else rows.filter(flaw="", ended_at__isnull=False)
            ),
        ),
    )
    ordering = ("-asked_at", "-pk")
    words = gettext_lazy("Checks of logs")
    lead = gettext_lazy("Verifications that people asked for on the log’s page.")
    facts: ClassVar = [("", (tenant, "asked_at", "size", "done", "worked_at", "ended_at", verdict))]

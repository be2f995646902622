"""Manages a tenant's witnesses, and the rule that a window opens only if a witness has cosigned the log recently."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit_app import witnesses
from audit_app.models import Witness
from audit_app.notes import BadNote
from requests_app.domain.actors import Actor
from requests_app.domain.acts.log import (
    ADD_WITNESS,
    LOG_POLICY_CHANGED,
    REMOVE_WITNESS,
    SET_COSIGNING,
    WITNESS_ADDED,
    WITNESS_REMOVED,
)
from requests_app.domain.errors import NotFound, Unacceptable, WrongState
from requests_app.models import Tenant
from requests_app.operations._change import Step
from requests_app.operations._people import key
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled
from requests_app.platform.outbound import BadTarget, Target

#: The most witnesses of a tenant: for every checkpoint, the product asks each of them for a cosignature.
MOST_WITNESSES = 10

_BAD_URL: dict[str, Promise] = {
    "shape": gettext_lazy("Enter the address of the witness, such as https://witness.example.com/."),
    "scheme": gettext_lazy("The address must begin with https://."),
    "port": gettext_lazy("The port of a witness must be 443 or 8443."),
    "private": gettext_lazy("This address is not on the public internet, so this server does not call it."),
}


def add_witness(tenant_id: object, *, vkey: str, url: str, actor: Actor) -> Witness:
    """Register a witness with its key. From the next checkpoint on, it is asked for cosignatures."""
    wanted: dict[str, str] = {}

    def check(current: Step) -> None:
        wanted.update(vkey=_vkey(vkey, current.row), url=_url(url))
        _require_new(current.row, wanted["vkey"])

    def holds(current: Step) -> dict[str, Any]:
        return {"name": str(Witness(**wanted)), **wanted}

    with perform(
        ADD_WITNESS, tenant_id, actor=actor, state=lambda current: _require_room(current.row), check=check, holds=holds
    ) as current:
        return _add_witness(current, current.row, wanted)


@controlled(ADD_WITNESS)
def _add_witness(current: Step, tenant: Tenant, terms: dict[str, Any]) -> Witness:
    _require_new(tenant, terms["vkey"])
    _require_room(tenant)
    at = current.at
    witness = Witness.objects.create(tenant_id=tenant.pk, vkey=terms["vkey"], url=terms["url"], added_at=at, due_at=at)
    current.witness(WITNESS_ADDED, detail=_described(witness), text=str(witness))
    return witness


def _require_new(tenant: Tenant, vkey: str) -> None:
    if Witness.objects.filter(tenant_id=tenant.pk, vkey=vkey).exists():
        raise Unacceptable(_("This witness is registered already."), field="vkey")


def _require_room(tenant: Tenant) -> None:
    if Witness.objects.filter(tenant_id=tenant.pk).count() >= MOST_WITNESSES:
        raise Unacceptable(_("A tenant has at most %(max)d witnesses.") % {"max": MOST_WITNESSES}, field="vkey")


def remove_witness(tenant_id: object, witness_id: object, *, actor: Actor) -> None:
    """Remove a witness. It is no longer asked for cosignatures.

    Its earlier cosignatures stay stored, but they no longer count for the tenant's rule.
    """

    def holds(current: Step) -> dict[str, Any]:
        witness = _removable(current.row, witness_id)
        return {"witness": str(witness.pk), "name": str(witness)}

    with perform(
        REMOVE_WITNESS,
        tenant_id,
        actor=actor,
        state=lambda current: _removable(current.row, witness_id),
        holds=holds,
    ) as current:
        _remove_witness(current, current.row, holds(current))


@controlled(REMOVE_WITNESS)
def _remove_witness(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    witness = _removable(tenant, terms["witness"])
    current.witness(WITNESS_REMOVED, detail=_described(witness), text=str(witness))
    witness.delete()


def _removable(tenant: Tenant, witness_id: object) -> Witness:
    witnesses = Witness.objects.filter(tenant_id=tenant.pk)
    witness = witnesses.filter(pk=key(witness_id)).first()
    if witness is None:
        raise NotFound
    if tenant.cosigned_within is not None and witnesses.count() == 1:
        raise WrongState(
            _(
                "This is the last witness, and your rule is that a window opens only if a witness cosigned the log. "
                "Register another witness first, or switch that rule off."
            )
        )
    return witness


def set_cosigning(tenant_id: object, *, hours: int | None, actor: Actor) -> Tenant:
    """Set the rule that a window opens only if a witness cosigned the log within this many hours.

    None removes the rule.
    """

    def state(current: Step) -> None:
        if hours == current.row.cosigned_within:
            raise Unacceptable(_("The tenant already has this rule."), field="hours")

    def check(current: Step) -> None:
        if hours is not None and not Witness.objects.filter(tenant_id=current.row.pk).exists():
            raise Unacceptable(
                _("Register a witness first. With this rule and without a witness, no window could open."),
                field="hours",
            )

    terms = {"hours": hours}
    with perform(
        SET_COSIGNING, tenant_id, actor=actor, inputs=terms, state=state, check=check, holds=lambda current: terms
    ) as current:
        tenant: Tenant = current.row
        _set_cosigning(current, tenant, terms)
    return tenant


@controlled(SET_COSIGNING)
def _set_cosigning(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    hours = terms["hours"]
    if hours is not None and not Witness.objects.filter(tenant_id=tenant.pk).exists():
        raise WrongState(
            _("There is no witness any more. With this rule, no window could open. Register a witness first.")
        )
    before, tenant.cosigned_within = tenant.cosigned_within, hours
    tenant.save(update_fields=["cosigned_within"])
    current.witness(LOG_POLICY_CHANGED, detail={"cosigned_within": hours, "cosigned_within_before": before})


def _vkey(vkey: str, tenant: Tenant) -> str:
    try:
        return str(witnesses.verifier_of(vkey, tenant.pk))
    except witnesses.NoWitness as why:
        raise Unacceptable(str(why), field="vkey") from why
    except BadNote as error:
        words = _(
            "This is not the key of a witness. A witness’s key is one line: a name, a plus sign, 8 digits or letters, "
            "a plus sign, and a longer text."
        )
        raise Unacceptable(words, field="vkey") from error


def _url(url: str) -> str:
    url = url.strip()
    try:
        Target.parse(url, private=settings.WITNESS_PRIVATE_NETWORK)
    except BadTarget as error:
        raise Unacceptable(_BAD_URL[error.code], field="url") from error
    return url


def _described(witness: Witness) -> dict[str, Any]:
    return {"name": str(witness), "vkey": witness.vkey, "url": witness.url}

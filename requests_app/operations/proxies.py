"""Adds and removes the proxies that ask at the gates of web tools."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.gates import ADD_PROXY, ADD_PROXY_ANNOUNCED, PROXY_ADDED, PROXY_REMOVED, REMOVE_PROXY
from requests_app.domain.errors import TooMany, Unacceptable, WrongState
from requests_app.models import GateProxy, Service
from requests_app.operations._announced import Terms, announced
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._perform import perform

MOST_PROXIES = 20
_HASH = re.compile(r"[0-9a-f]{64}")
#: The hash of an empty text. A mistake at the command line makes it.
_OF_NOTHING = sha256(b"").hexdigest()


def add_proxy(service_id: object, *, name: str, secret_hash: str, actor: Actor) -> GateProxy:
    """Let another proxy ask at the gate of a web tool. It is announced to the customers first.

    `secret_hash` is the SHA-256 hash of the proxy's secret, in hex. The secret itself is never sent to this product
    but by the proxy. Several proxies can ask, so that a new secret can replace an old one.
    """
    row = GateProxy()

    def find(current: Step, row_id: object) -> Service:
        service: Service = Service.objects.visible_to(current.actor).locked().find(row_id)
        current.concerns("service", service, PROVIDER_LOG)
        return service

    def state(current: Step) -> None:
        _require_gate(current.row)

    def check(current: Step) -> None:
        row.service, row.name = current.row, current.inputs["name"]
        row.secret_hash = _checked(current.inputs["secret_hash"])
        _require_unknown(row.secret_hash)
        current.require_proof(needed=False)

    def announces(current: Step) -> tuple[Change, Terms]:
        of = {"service": str(current.row.pk), "service_name": current.row.name}
        return ADD_PROXY_ANNOUNCED, {**of, "name": row.name, "fingerprint": row.fingerprint, "_hash": row.secret_hash}

    inputs = {"name": name, "secret_hash": secret_hash.strip().lower()}
    with perform(
        ADD_PROXY, service_id, actor=actor, inputs=inputs, find=find, state=state, check=check, announces=announces
    ) as current:
        row.added_by_id = current.actor.person
        _add(current, row)
    return row


def _lock_service(terms: Terms) -> None:
    list(Service.objects.filter(pk=terms["service"]).locked())


@announced(ADD_PROXY_ANNOUNCED, lock=_lock_service)
def _add_proxy_agreed(current: Step, terms: Terms) -> None:
    service = Service.objects.get(pk=terms["service"])
    _require_gate(service)
    _require_unknown(terms["_hash"])
    current.subject_type, current.subject_id = "service", str(service.pk)
    _add(
        current,
        GateProxy(service=service, name=terms["name"], secret_hash=terms["_hash"], added_by_id=current.proposer),
    )


def remove_proxy(proxy_id: object, *, actor: Actor) -> GateProxy:
    """Believe a proxy no longer. It only takes power away, so it needs no second person and no waiting time."""

    def find(current: Step, row_id: object) -> GateProxy:
        row: GateProxy = GateProxy.objects.visible_to(current.actor).select_related("service").locked().find(row_id)
        current.concerns("service", row.service, PROVIDER_LOG)
        return row

    def state(current: Step) -> None:
        if not current.row.is_trusted:
            raise WrongState(_("This proxy is removed already."))

    with perform(REMOVE_PROXY, proxy_id, actor=actor, find=find, state=state) as current:
        row: GateProxy = current.row
        row.removed_at, row.removed_by_id = current.at, current.actor.person
        row.save(update_fields=["removed_at", "removed_by"])
        current.witness(PROXY_REMOVED, detail=_described(row), text=row.name)
    return row


def _add(current: Step, row: GateProxy) -> None:
    row.added_at = current.at
    row.save(force_insert=True)
    current.witness(PROXY_ADDED, detail=_described(row), text=row.name)


def _described(row: GateProxy) -> dict[str, Any]:
    return {"proxy": row.name, "service": row.service.name, "fingerprint": row.fingerprint}


def _require_gate(service: Service) -> None:
    if not service.has_gate:
        raise WrongState(_("This service has no gate. First give it rules."))
    if GateProxy.objects.trusted().filter(service=service).count() >= MOST_PROXIES:
        raise TooMany(_("There can be at most %(max)d proxies.") % {"max": MOST_PROXIES})


def _checked(secret_hash: str) -> str:
    if _HASH.fullmatch(secret_hash) is None or secret_hash == _OF_NOTHING:
        words = _("Enter the SHA-256 hash of the secret: 64 characters, each a digit or a letter from a to f.")
        raise Unacceptable(words, field="secret_hash")
    return secret_hash


def _require_unknown(secret_hash: str) -> None:
    """Raise WrongState if a proxy has this secret: it would not be clear which gate it asks at."""
    if GateProxy.objects.filter(secret_hash=secret_hash).exists():
        raise WrongState(_("A proxy has or had this secret. Make a new one."))

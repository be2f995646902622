"""Test cases for the acts on invitations to a tenant."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.imports import PERSON, ROLE, Row, Source
from requests_app.management._logs import actor as operator
from requests_app.models import Invitation
from requests_app.queries.invitations import prepared
from tests.acts.case import Case
from tests.acts.shared import NEW_PASSWORD, bare, by_adding, by_button
from tests.cast import Cast


def _first_invited(cast: Cast) -> Any:
    """As staff, invite the first person of a tenant that has no people."""
    return operations.invite_person(
        bare(cast).pk, email="new@adatum.example", role="administrator", actor=cast.as_("stella")
    )


def _on_invitation(cast: Cast, client: Client, row: Any, act: str) -> Any:
    return client.post(reverse("web:people", args=[cast.contoso.pk]), {"act": act, "invitation": str(row.pk)})


def _colleague(cast: Cast) -> dict[str, Any]:
    return {"email": "new@provider.example", "role": "engineer", "services": [str(cast.exchange.pk)]}


def _prepared(cast: Cast) -> Any:
    """Return an invitation that a file has prepared."""
    cast.peaceful()
    rows = [
        Row(1, PERSON.name, {"email": "new@provider.example"}),
        Row(2, ROLE.name, {"email": "new@provider.example", "queue": "exchange-online", "role": "engineer"}),
    ]
    made = operations.start_import(Source(rows, file_name="world.yaml"), actor=operator("apply"))
    assert made is not None
    operations.run_import(made.pk, actor=operator("apply"))
    return Invitation.objects.get(email="new@provider.example")


def _early(cast: Cast) -> Any:
    cast.peaceful()
    return cast.invited_colleague()


def _copied(cast: Cast) -> Any:
    """Return an accepted invitation whose link was copied. Its reader becomes one of the cast, as `grace`."""
    cast.peaceful()
    row = cast.invited_colleague("grace@provider.example")
    operations.copy_invitation_link(row.pk, actor=cast.as_("stella"))
    stranger = Actor.stranger(door="pages")
    cast.people["grace"] = grace = operations.accept_invitation(cast.link_of(row), **_ACCEPTED, actor=stranger)
    grace.totp_set_up_at = clock.now()
    grace.save(update_fields=["totp_set_up_at"])
    return row


_INVITED: dict[str, Any] = {"email": "new@contoso.example", "role": "member"}


_ACCEPTED: dict[str, Any] = {"name": "New", "password": NEW_PASSWORD}


CASES: dict[str, Case] = {
    "invite_person": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.invite_person(cast.contoso.pk, actor=actor, **_INVITED),
        page=lambda cast, client, row: client.post(reverse("web:people", args=[cast.contoso.pk]), _INVITED),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/invitations", _INVITED),
    ),
    "invite_person by staff": Case(
        "stella",
        lambda cast: bare(cast),
        lambda cast, row, actor: operations.invite_person(
            row.pk, email="new@adatum.example", role="administrator", actor=actor
        ),
        admin=by_button("tenant", "invite", email="new@adatum.example", role="administrator"),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{row.pk}/invitations", {"email": "new@adatum.example", "role": "administrator"}
        ),
    ),
    "invite_colleague": Case(
        "stella",
        lambda cast: cast.peaceful(),
        lambda cast, row, actor: operations.invite_colleague(**_colleague(cast), actor=actor),
        admin=lambda cast, client, row: by_adding("person", **_colleague(cast))(cast, client, row),
        api=lambda cast, caller, row: caller.post("invitations", _colleague(cast)),
    ),
    "invite_colleague, for a queue": Case(
        "stella",
        lambda cast: cast.peaceful(),
        lambda cast, row, actor: operations.invite_colleague(**_colleague(cast), actor=actor),
        api=lambda cast, caller, row: caller.post("provider/people", _colleague(cast)),
    ),
    "send_invitations": Case(
        "stella",
        _prepared,
        lambda cast, row, actor: operations.send_invitations(shown=prepared().digest, actor=actor),
        admin=lambda cast, client, row: client.post(
            reverse("admin:set_up_send_invitations"), {"shown": prepared().digest}
        ),
    ),
    "copy_invitation_link": Case(
        "stella",
        lambda cast: _early(cast),
        lambda cast, row, actor: operations.copy_invitation_link(row.pk, actor=actor),
        admin=by_button("invitation", "copy-link"),
        status=200,
    ),
    "note_link_copy": Case(
        "grace",
        lambda cast: _copied(cast),
        lambda cast, row, actor: operations.note_link_copy(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:note_link_copy", args=[row.pk])),
    ),
    "resend_invitation": Case(
        "ines",
        lambda cast: cast.invited(),
        lambda cast, row, actor: operations.resend_invitation(row.pk, actor=actor),
        page=lambda cast, client, row: _on_invitation(cast, client, row, "send_again"),
        api=lambda cast, caller, row: caller.post(f"invitations/{row.pk}/send-again"),
    ),
    "resend_invitation by staff": Case(
        "stella",
        lambda cast: _first_invited(cast),
        lambda cast, row, actor: operations.resend_invitation(row.pk, actor=actor),
        admin=by_button("invitation", "send-again"),
        api=lambda cast, caller, row: caller.post(f"invitations/{row.pk}/send-again"),
    ),
    "withdraw_invitation": Case(
        "ines",
        lambda cast: cast.invited(),
        lambda cast, row, actor: operations.withdraw_invitation(row.pk, actor=actor),
        page=lambda cast, client, row: _on_invitation(cast, client, row, "withdraw"),
        api=lambda cast, caller, row: caller.post(f"invitations/{row.pk}/withdraw"),
    ),
    "withdraw_invitation by staff": Case(
        "stella",
        lambda cast: _first_invited(cast),
        lambda cast, row, actor: operations.withdraw_invitation(row.pk, actor=actor),
        admin=by_button("invitation", "withdraw"),
        api=lambda cast, caller, row: caller.post(f"invitations/{row.pk}/withdraw"),
    ),
    "accept_invitation": Case(
        "mia",
        lambda cast: cast.invited(role="approver"),
        lambda cast, row, actor: operations.accept_invitation(
            cast.link_of(row), **_ACCEPTED, actor=Actor.stranger(door=actor.door)
        ),
        page=lambda cast, client, row: Client().post(reverse("web:invitation", args=[cast.link_of(row)]), _ACCEPTED),
    ),
    "make_recovery_key": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.make_recovery_key(cast.contoso.pk, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:recovery_key", args=[cast.contoso.pk])),
        status=200,
    ),
    "use_recovery_key": Case(
        "mia",
        lambda cast: operations.make_recovery_key(cast.contoso.pk, actor=cast.as_("ines")),
        lambda cast, row, actor: operations.use_recovery_key(
            row.key, email="next@contoso.example", actor=Actor.stranger(door=actor.door)
        ),
        page=lambda cast, client, row: Client().post(
            reverse("web:recover"), {"recovery_key": row.key, "email": "next@contoso.example"}
        ),
        status=200,
    ),
}

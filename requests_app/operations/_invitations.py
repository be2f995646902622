"""Sends invitations: those of an administrator, those of staff, and those made with the customer's recovery key."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from requests_app.domain import limits, link_secrets
from requests_app.domain.actors import Side
from requests_app.domain.errors import Unacceptable
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Invitation
from requests_app.operations._change import Step


def send(current: Step, row: Invitation) -> None:
    """Make a new secret for the invitation, and send a mail with a link that contains this secret."""
    row.secret_hash = link_secrets.hashed(link_secrets.of(row.pk, row.sends))
    row.valid_from = row.valid_from or current.at
    row.expires_at = max(row.valid_from, current.at) + limits.INVITATION_FOR
    row.save()
    current.tell(
        Note(
            topic=Topic.INVITATION,
            tenant_id=row.tenant_id,
            about=row.pk,
            audiences=(Audience.INVITED,),
            mark=uuid4().hex,
            extra={"by": current.actor.name, "by_provider": "yes" if current.actor.side is Side.PROVIDER else ""},
        )
    )


def invitation_detail(row: Invitation) -> dict[str, Any]:
    return {"invitation": str(row.pk), "email": row.email, "role": row.role}


def address_of(value: object) -> str:
    email = value.strip().lower() if isinstance(value, str) else ""
    try:
        validate_email(email)
    except ValidationError:
        raise Unacceptable(_("Enter an email address."), field="email") from None
    if len(email) > limits.EMAIL_MAX:
        raise Unacceptable(_("Enter an email address."), field="email")
    return email

"""Unlinks a person from their account at an identity provider. The next sign-in links the person again."""

from __future__ import annotations

from requests_app.domain.actors import Actor
from requests_app.domain.acts.single_sign_on import IDENTITY_UNLINKED, UNLINK_IDENTITY
from requests_app.domain.errors import NotFound
from requests_app.models import Identity, Person, StaffTerm
from requests_app.operations._people import described
from requests_app.operations._perform import perform


def unlink_identity(identity_id: object, *, actor: Actor) -> Person:
    """Delete the link between a person and their account at the identity provider.

    This is for a link that was made by mistake, and for a person who has a new account there. If the person is signed
    in, they are signed out immediately. Their next sign-in counts as the first one. The tenant's administrator can do
    this for the tenant's people, and staff for the provider's people. Accounts that staff have linked as one human stay
    linked.
    """
    with perform(UNLINK_IDENTITY, identity_id, actor=actor) as current:
        row: Identity = current.row
        person = row.person
        # If two people do this at the same time, the second one gets NotFound.
        if not Identity.objects.filter(pk=row.pk, person=person).delete()[0]:
            raise NotFound
        person.session_epoch += 1
        person.save(update_fields=["session_epoch"])
        if person.is_staff and person.is_active:
            # Another person may use the account now, as after a reset of its second factors.
            StaffTerm.begin(person, at=current.at)
        detail = {**described(person), "issuer": row.issuer, "subject": row.subject}
        current.witness(IDENTITY_UNLINKED, detail=detail, text=person.name)
    return person

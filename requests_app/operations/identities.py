"""By which subject somebody is known at an identity provider: forgotten again, so that they are found anew."""

from __future__ import annotations

from requests_app.domain import policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.single_sign_on import UNLINK_IDENTITY
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.domain.events import PROVIDER_LOG, Event
from requests_app.models import Identity, Person, StaffTerm, Tenant
from requests_app.operations._change import act
from requests_app.operations._people import ADMINISTRATOR, described


def unlink_identity(identity_id: object, *, actor: Actor) -> Person:
    """Forget by which subject an account is known, for one that was linked by mistake or whose subject is new.

    Whoever is signed in with the account is out at once. The next sign-in is looked at as a first one. A tenant's are
    its administrator's to unlink, the provider's the staff's. Who is one human stays as it is: staff say that.
    """
    with act(UNLINK_IDENTITY, actor=actor) as current:
        row: Identity = Identity.objects.visible_to(current.actor).find(identity_id)
        people = Person.objects.get_queryset().select_for_update(no_key=True)
        person = people.get(pk=row.person_id)
        if row.tenant_id is not None:
            Tenant.objects.locked().find(row.tenant_id)
        current.concerns("person", person, row.tenant_id or PROVIDER_LOG)
        if row.tenant_id is None:
            policy.require_staff(current.actor)
        else:
            policy.require_role(current.actor, ADMINISTRATOR, tenant_id=row.tenant_id)
        if current.actor.machine is not None:
            raise NotAllowed
        policy.require_step_up(current.actor, current.at)
        # Of two who do so at once, one is too late.
        if not Identity.objects.filter(pk=row.pk, person=person).delete()[0]:
            raise NotFound
        person.session_epoch += 1
        person.save(update_fields=["session_epoch"])
        if person.is_staff and person.is_active:
            # Somebody else may be behind the account now, as after a reset of its second factors.
            StaffTerm.begin(person, at=current.at)
        detail = {**described(person), "issuer": row.issuer, "subject": row.subject}
        current.witness(Event.IDENTITY_UNLINKED, detail=detail, text=person.name)
    return person

"""Runs the acts that people do on their own accounts.

The log of each of the person's tenants gets an entry about such an act.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from audit_app import recorder
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Act
from requests_app.domain.errors import NotAllowed
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Person
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._humans import lock_humans
from requests_app.operations._people import described
from requests_app.operations._perform import Check, perform


@dataclass(frozen=True)
class OwnAct:
    """An act on the actor's own account. `person` is locked, and the act's declaration has allowed it."""

    act: Step
    person: Person
    tenants: tuple[UUID, ...]

    def witness(self, event: str, *, detail: dict[str, str], text: str = "") -> None:
        """Write one entry in the log of each of the person's tenants.

        The act has locked only the first log. The other logs are locked here.
        """
        entry = self.act.entry(event, detail={**described(self.person), **detail}, text=text or self.person.name)
        logs = self.tenants or (PROVIDER_LOG,)
        with self.act.reaching(logs[0]):
            recorder.record([replace(entry, tenant_id=log) for log in logs], at=self.act.at)

    def tell_holder(self, topic: Topic, **extra: str) -> None:
        """Send a mail to the holder of the account, because another person might have done this."""
        self.tell_of(topic, self.person.pk, Audience.ACCOUNT_HOLDER, **extra)

    def tell_of(self, topic: Topic, about: UUID, *audiences: Audience, **extra: str) -> None:
        self.act.tell(
            Note(
                topic=topic,
                tenant_id=self.tenants[0] if self.tenants else None,
                about=about,
                audiences=audiences,
                mark=uuid4().hex,
                extra=extra,
            )
        )


@contextmanager
def own_act(
    declared: Act,
    *,
    actor: Actor,
    humans: Sequence[UUID] = (),
    inputs: Mapping[str, object] | None = None,
    may: Check | None = None,
    state: Check | None = None,
    check: Check | None = None,
) -> Iterator[OwnAct]:
    """Run an act on the actor's own account. `humans` are other humans whom the act may affect.

    The accounts of the actor and of these humans are locked before anything else.
    """
    tenants: list[UUID] = []

    def find(current: Step, _row_id: object) -> Person:
        if humans:
            lock_humans(current.actor.human, *humans)
        person = Person.objects.get_queryset().humans().select_for_update(no_key=True).get(pk=current.actor.person)
        tenants.extend(sorted(set(person.memberships.values_list("tenant_id", flat=True))))
        current.concerns("person", person, tenants[0] if tenants else PROVIDER_LOG, holder=person.pk)
        return person

    def is_active(current: Step) -> None:
        if not current.row.is_active:
            raise NotAllowed
        if may is not None:
            may(current)

    with perform(declared, actor=actor, inputs=inputs, find=find, may=is_active, state=state, check=check) as current:
        yield OwnAct(current, current.row, tuple(tenants))

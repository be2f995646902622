"""The rows that an input of an act can name: a form offers them, and the kernel accepts no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from requests_app.domain.acts.declaration import Field, Noun
from requests_app.models import Person


def people(each: Field, tenant_id: UUID) -> QuerySet[Person]:
    """The tenant's people who can sign in, or those of them who hold a role that the input asks for."""
    member: dict[str, Any] = {"memberships__tenant": tenant_id}
    if each.roles:
        member["memberships__role__in"] = sorted(each.roles)
    found: QuerySet[Person] = Person.objects.active().humans().filter(**member).distinct()
    return found


#: An input that names a row of another kind is read as an id, and the body finds the row.
CHOICES: dict[Noun, Callable[[Field, UUID], QuerySet[Any]]] = {Noun.PERSON: people}

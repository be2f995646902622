"""The rows that a person can choose for an input of an act. Forms offer these rows, and the kernel refuses others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from requests_app.domain.acts.declaration import Field, Noun
from requests_app.models import Person


def people(each: Field, tenant_id: UUID) -> QuerySet[Person]:
    """Return the tenant's people who can sign in.

    If the input names roles, return only people with one of these roles.
    """
    member: dict[str, Any] = {"memberships__tenant": tenant_id}
    if each.roles:
        member["memberships__role__in"] = sorted(each.roles)
    found: QuerySet[Person] = Person.objects.active().humans().filter(**member).distinct()
    return found


#: For an input that names another kind of row, only the id is read, and the body of the act finds the row.
CHOICES: dict[Noun, Callable[[Field, UUID], QuerySet[Any]]] = {Noun.PERSON: people}

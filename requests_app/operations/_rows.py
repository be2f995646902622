"""Changes the fields of rows that staff set up, and describes such changes for a proposal."""

from __future__ import annotations

from copy import copy
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from requests_app.domain import limits, texts
from requests_app.domain.acts.declaration import Event
from requests_app.domain.errors import NotFound, Unacceptable, WrongState
from requests_app.domain.imports import REASONS
from requests_app.domain.spelling import is_composed
from requests_app.models import Plan, Tenant
from requests_app.models.spelling import is_taken
from requests_app.operations._announced import Terms
from requests_app.operations._change import Step


def change_row(current: Step, row: Any, wanted: dict[str, Any], *, allowed: set[str], event: Event) -> None:
    """Set the allowed fields, save the row, and record the old values. If no value changes, do nothing."""
    if unknown := sorted(set(wanted) - allowed):
        raise Unacceptable(_("This field cannot be changed here."), field=unknown[0])
    is_new = row._state.adding
    before = {name: str(getattr(row, name, "")) for name in wanted if not is_new}
    for name, value in wanted.items():
        setattr(row, name, value)
    after = {name: str(getattr(row, name)) for name in wanted}
    if not is_new and before == after:
        return
    validated(row).save()
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    old = {name: value for name, value in before.items() if after[name] != value}
    current.witness(event, detail={"set": changed, "was": old}, text=str(row))


_IDS = ("external_id", "locator")


def readable(row: Any, wanted: Terms) -> Terms:
    """Return the wanted values, with no spaces around a text.

    Raise Unacceptable if a text that would be new has a character that is not allowed.
    """
    found = {name: value.strip() if isinstance(value, str) else value for name, value in wanted.items()}
    for name, value in found.items():
        if isinstance(value, str) and value != getattr(row, name):
            texts.require(value, field=name, is_id=name in _IDS, has_lines=name in ("guidance", "levels", "gate_rules"))
    return found


def validated(row: Any) -> Any:
    """Return the row, or raise Unacceptable if a value of a field is not valid."""
    try:
        row.full_clean()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Unacceptable(" ".join(messages), field="" if field == "__all__" else field) from error
    return row


def free_external_id(value: object, row: Any, others: QuerySet[Any], *names: str) -> str:
    """Return an external id without spaces around it. Raise Unacceptable if it is not allowed, or another row has it.

    `others` are the rows among which it must be unique. None of them can have it in one of the fields `names` either.
    """
    found = limits.require_text(value or "", field="external_id", at_least=0, at_most=200).strip()
    if found == row.external_id:
        return found
    texts.require(found, field="external_id", is_id=True)
    if not is_composed(found):
        raise Unacceptable(REASONS["not_composed"], field="external_id")
    if found and is_taken(found, others.exclude(pk=row.pk), "external_id", *names):
        raise Unacceptable(_("This external id already exists."), field="external_id")
    return found


def differing(row: Any, wanted: Terms) -> Terms:
    """Return the terms of a change: the values that would be set, and the values that they replace."""
    changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    return {"row": str(row.pk), "name": str(row), "set": changed, "was": {name: getattr(row, name) for name in changed}}


def require_unchanged(row: Any, terms: Terms) -> None:
    """Raise WrongState if a value that an announced change replaces was changed meanwhile."""
    if any(getattr(row, name) != value for name, value in terms["was"].items()):
        raise WrongState(_("The values were changed after the proposal was made. Propose the change again."))


def copy_with(row: Any, wanted: Terms) -> Any:
    """Return a copy of the row with these values, to be validated and not to be saved."""
    other = copy(row)
    for name, value in wanted.items():
        setattr(other, name, value)
    return other


def find_plan(plan_id: Any, *, is_locked: bool = False, is_row: bool = False) -> Plan:
    """Return the plan. With `is_locked`, lock it.

    If there is no such plan, raise NotFound with `is_row`, and Unacceptable without `is_row`.
    """
    plans = Plan.objects.select_for_update(no_key=True) if is_locked else Plan.objects.all()
    try:
        return plans.get(pk=plan_id)
    except (Plan.DoesNotExist, ValidationError, ValueError, TypeError):
        raise (NotFound if is_row else Unacceptable(_("There is no such plan."), field="plan")) from None


def protected_tenant(terms: Terms) -> list[UUID]:
    """Return the tenant of the terms, if it has ever had Lockbox on. Otherwise return []."""
    return list(Tenant.objects.ever_on().filter(pk=terms["tenant"]).values_list("pk", flat=True))

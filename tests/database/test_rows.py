"""Rows of the models that are read most are made from their columns without Django's steps, and are the same rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db.models import Model
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

from requests_app.models import AccessRequest, OutboxMessage, Person
from requests_app.platform.database.rows import Row
from tests.cast import Cast

MODELS = [model for model in apps.get_models() if issubclass(model, Row)]


def _made_by_django(row: Any) -> Any:
    names = [field.attname for field in row._meta.concrete_fields]
    return Model.from_db.__func__(type(row), row._state.db, names, [getattr(row, name) for name in names])  # type: ignore[attr-defined]


def test_no_field_of_such_a_model_changes_a_value_that_is_set() -> None:
    """Django would call such a field for each row, and would tell the listeners of its signals."""
    plain = {DeferredAttribute, ForeignKeyDeferredAttribute}
    other = [
        str(field)
        for model in MODELS
        for field in model._meta.concrete_fields
        if type(vars(model).get(field.attname) or getattr(model, field.attname)) not in plain
    ]
    listened_to = [model for model in MODELS if pre_init.has_listeners(model) or post_init.has_listeners(model)]
    overridden = [model for model in MODELS if model.__init__ is not Model.__init__]
    assert MODELS
    assert (other, listened_to, overridden) == ([], [], [])


@pytest.mark.django_db
def test_a_row_is_what_django_would_make(cast: Cast) -> None:
    cast.confirmed()
    [row] = AccessRequest.objects.all()
    djangos = _made_by_django(row)
    ours = {name: value for name, value in vars(row).items() if name != "_state"}
    assert ours == {name: value for name, value in vars(djangos).items() if name != "_state"}
    assert (row._state.adding, row._state.db) == (djangos._state.adding, djangos._state.db)
    row.save(force_update=True)


@pytest.mark.django_db
def test_a_column_that_was_not_read_is_read_later(cast: Cast, django_assert_num_queries: Any) -> None:
    person = Person.objects.get_queryset().only("name").get(pk=cast.ada.pk)
    assert person.get_deferred_fields() >= {"email", "side"}
    with django_assert_num_queries(1):
        assert person.email == cast.ada.email


@pytest.mark.django_db
def test_a_new_row_is_what_django_would_make(cast: Cast) -> None:
    fields: dict[str, Any] = {"tenant_id": cast.contoso.pk, "topic": "a", "about": cast.ada.pk, "key": "a"}
    fields |= {"created_at": cast.ada.created_at, "next_attempt_at": cast.ada.created_at}
    for given in (fields, {**fields, "payload": {"n": 1}, "attempts": 2}):
        ours, djangos = OutboxMessage.new(**given), OutboxMessage(**given)
        assert ours.pk != djangos.pk
        ours.pk = djangos.pk
        assert _columns(ours) == _columns(djangos)
        assert (ours._state.adding, ours._state.db) == (True, None)
    assert OutboxMessage.new(**fields).payload is not OutboxMessage.new(**fields).payload
    ours.save(force_insert=True)
    assert _columns(OutboxMessage.objects.get(key="a")) == _columns(ours)


def _columns(row: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name != "_state"}

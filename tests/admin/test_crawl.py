"""Every list and every row's page of the portal, as staff; with 2 rows and with 20."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.admin.conftest import MODELS, address, populate
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def label(model: Any) -> str:
    return model._meta.label


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_the_list_and_each_rows_page_show(world: Cast, staff: Client, model: Any) -> None:
    answer = staff.get(address(model))
    assert answer.status_code == 200
    rows = list(answer.context["cl"].result_list)
    assert rows
    for row in rows[:3]:
        page = staff.get(address(model, "change", row.pk))
        assert page.status_code == 200
        assert str(row)[:20] in page.content.decode() or page.context["title"] == str(row)


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_a_list_costs_as_many_queries_with_20_rows_as_with_2(world: Cast, staff: Client, model: Any) -> None:
    staff.get(address(model))
    with CaptureQueriesContext(connection, ) as few:
        staff.get(address(model))
    rows_before = model._default_manager.count()
    populate(world, 6)
    with CaptureQueriesContext(connection) as many:
        staff.get(address(model))
    assert model._default_manager.count() >= rows_before
    assert len(many) == len(few), [query["sql"][:200] for query in many.captured_queries]

"""Staff open every list and every row's page of the administration, once with few rows and once with many."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from requests_app.domain import clock
from tests.admin.conftest import MODELS, address, populate
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def test_lists_and_pages_of_rows_show_and_their_links_work_in_both_directions(world: Cast, staff: Client) -> None:
    """Open each list, three of its rows, and every link to the administration on the first row's page."""
    pages: dict[str, Any] = {}

    def opened(url: str) -> Any:
        if url not in pages:
            pages[url] = staff.get(url)
            assert pages[url].status_code == 200, url
        return pages[url]

    for model in MODELS:
        answer = opened(address(model))
        rows = list(answer.context["cl"].result_list)
        assert rows, model
        assert len(answer.context["table"]["rows"]) == len(rows)
        for row in rows[:3]:
            page = opened(address(model, "change", row.pk))
            assert page.context["title"] == admin.site.get_model_admin(model).name_of(row)  # type: ignore[attr-defined]
    seen: set[str] = set()
    for model in MODELS:
        row = model._default_manager.first()
        seen |= {url for url in hrefs(opened(address(model, "change", row.pk))) if url.startswith("/admin/")}
    assert len(seen) > 60
    for url in sorted(seen):
        opened(url)


def hrefs(page: Any) -> set[str]:
    return {unescape(url) for url in re.findall(r'href="([^"]+)"', page.content.decode())}


def queries(staff: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as statements:
        assert staff.get(url).status_code == 200
    return len(statements)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_page_costs_as_many_queries_with_4_rows_as_with_2(world: Cast, staff: Client, travel: Any) -> None:
    # The clock does not move. Otherwise a page would save the time of the last activity every half minute, with queries
    # of its own.
    travel.to(clock.now())
    lists = {model: address(model) for model in MODELS}
    pages = {model: address(model, "change", model._default_manager.first().pk) for model in MODELS}
    counts = {model: model._default_manager.count() for model in MODELS}
    staff.get("/admin/")
    few = {url: queries(staff, url) for url in [*lists.values(), *pages.values()]}
    populate(world, 2)
    for url, n in few.items():
        assert queries(staff, url) == n, url
    #: These tables do not grow: their rows are declared in the code, or there is one row per process or service.
    still = {model.__name__ for model in MODELS if model._default_manager.count() < counts[model] + 2}
    assert still == {"Schedule", "OrmQ", "LogKey", "SignerLease"}

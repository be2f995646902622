"""The page that sets for how long a tenant's log is stored."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.urls import reverse

from audit_app import checkpoints
from audit_app.models import ChainHead
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Tenant
from tests.cast import Cast, events_in
from tests.offenders import collected
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db


def url(cast: Cast, tenant: str = "contoso") -> str:
    return reverse("web:log_retention", args=[cast.tenants[tenant].pk])


def text(response: Any) -> str:
    return html.unescape(response.content.decode())


def rule(cast: Cast) -> int | None:
    return Tenant.objects.get(pk=cast.contoso.pk).log_retention_days


def test_everybody_of_the_tenant_sees_the_rule_and_only_its_administrator_the_form(cast: Cast) -> None:
    for name in ("ada", "otto", "mia", "ines", "stella"):
        page = text(signed_in(cast, name).get(url(cast)))
        assert "Every entry is kept permanently." in page, name
        assert ("Save this rule" in page) == (name == "ines"), name
    operations.set_log_retention(cast.contoso.pk, days=365, actor=cast.as_("ines"))
    assert "kept for <strong>365 days</strong>" in text(signed_in(cast, "mia").get(url(cast)))


def test_the_administrator_sets_a_limit_and_takes_it_away(cast: Cast) -> None:
    ines = signed_in(cast, "ines")
    page = ines.post(url(cast), {"days": "365", "understood": "on"}, follow=True)
    assert "From now on each entry is stored for 365 days. Older entries are removed within hours." in text(page)
    assert rule(cast) == 365
    page = ines.post(url(cast), {"days": "for-good"}, follow=True)
    assert "From now on every entry is stored permanently." in text(page)
    assert rule(cast) is None
    assert events_in(cast.contoso) == ["log.policy_changed", "log.policy_changed"]


def test_a_limit_needs_the_word_that_it_is_understood(cast: Cast) -> None:
    with nothing_happens():
        answer = signed_in(cast, "ines").post(url(cast), {"days": "90"})
    assert answer.status_code == 422
    assert "Confirm that you understand this." in text(answer)
    assert rule(cast) is None


@pytest.mark.parametrize("days", ["7", "-1", "nonsense", "", "91"])
def test_only_offered_values_are_accepted(cast: Cast, days: str) -> None:
    with nothing_happens():
        answer = signed_in(cast, "ines").post(url(cast), {"days": days, "understood": "on"})
    assert answer.status_code == 422
    assert rule(cast) is None


def test_the_present_rule_is_shown_beside_the_field(cast: Cast) -> None:
    operations.set_log_retention(cast.contoso.pk, days=91, actor=cast.as_("ines"))
    with nothing_happens():
        answer = signed_in(cast, "ines").post(url(cast), {"days": "91", "understood": "on"})
    assert answer.status_code == 422
    assert "The tenant already has this rule." in text(answer)


def test_something_that_has_no_place_is_refused(cast: Cast) -> None:
    with nothing_happens():
        answer = signed_in(cast, "ines").post(url(cast), {"days": "90", "understood": "on", "tenant": "x"})
    assert answer.status_code == 400
    assert rule(cast) is None


def test_only_an_administrator_sets_the_rule(cast: Cast) -> None:
    with collected() as case:
        for days in ["90", "nonsense"]:
            for name in ["ada", "otto", "mia", "stella"]:
                with case(days, name):
                    answer = signed_in(cast, name).post(url(cast), {"days": days, "understood": "on"})
                    assert answer.status_code == 403
                    assert rule(cast) is None


def test_another_tenants_page_is_not_there(cast: Cast) -> None:
    frida = signed_in(cast, "frida")
    assert frida.get(url(cast)).status_code == 404
    assert frida.post(url(cast), {"days": "90", "understood": "on"}).status_code == 404
    assert rule(cast) is None


def test_the_page_says_what_was_removed(cast: Cast) -> None:
    cast.ticket()
    cast.ticket()
    assert "have been removed" not in text(signed_in(cast, "mia").get(url(cast)))
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    ChainHead.objects.filter(pk=cast.contoso.pk).update(pruned_to=2)
    assert "The entries before number 2 have been removed." in text(signed_in(cast, "mia").get(url(cast)))

"""Secret fields of forms are never stored. All other fields are still there after a confirmation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django import forms
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from requests_app.doors.web._secrets import all_forms, is_marked, is_secret, may_wait
from requests_app.models import Service, Tenant
from tests.cast import PASSWORD, Cast
from tests.factors import a_code
from tests.web.pages import only_a_refusal, signed_in

LOOKS_SECRET = re.compile(r"password|secret|credential|assertion|token|code|key|pin|otp|signature")
#: Public fields whose names look like a secret, each with the reason.
PUBLIC = {
    ("ServiceForm", "key"): "the name by which the log and the API know a service",
    ("NewServiceForm", "key"): "the name by which the log and the API know a service",
    ("SignOnForm", "key_claim"): "the name of a claim",
    ("SamlForm", "key_claim"): "the name of an attribute",
    ("ApprovalPageForm", "keys_only"): "a box to tick",
    ("WitnessForm", "vkey"): "the public key of a witness",
    ("ProxyForm", "secret_hash"): "the hash of a random secret of 256 bits, which nobody can find from it",
}
OURS = ("requests_app.", "lockbox_site.")


def loaded(resolver: URLResolver | None = None) -> Iterator[URLPattern]:
    """Yield every route of the site. This also imports the modules of the routes, and so all forms."""
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            yield from loaded(each)
        else:
            yield each


def fields() -> Iterator[tuple[type[forms.BaseForm], str, forms.Field]]:
    assert len(list(loaded())) > 100
    for form in all_forms():
        for name, field in getattr(form, "base_fields", {}).items():
            yield form, name, field


def test_each_field_that_looks_like_a_secret_is_marked_or_is_named_as_public_and_no_other_is_marked() -> None:
    ours = [each for each in fields() if each[0].__module__.startswith(OURS)]
    assert len(ours) > 100
    wrong = {
        f"{form.__module__}.{form.__qualname__}.{name}"
        for form, name, field in ours
        if is_marked(field) != (bool(LOOKS_SECRET.search(name)) and (form.__name__, name) not in PUBLIC)
    }
    assert wrong == set()
    assert set(PUBLIC) <= {(form.__name__, name) for form, name, _field in ours}


def test_no_form_uses_the_name_of_a_secret_for_another_field() -> None:
    """While a form waits for a confirmation, fields with the name of a secret are left out.

    A field that has such a name but is not a secret would be lost.
    """
    lost = {
        f"{form.__module__}.{form.__qualname__}.{name}"
        for form, name, field in fields()
        if form.__module__.startswith(OURS) and is_secret(name) and not is_marked(field)
    }
    assert lost == set()


def test_the_sign_in_librarys_passwords_are_secrets() -> None:
    for name in ("password", "password1", "password2", "oldpassword", "login-password"):
        assert is_secret(name), name
        assert may_wait(name, "")


@pytest.mark.django_db
def test_the_key_of_a_new_service_waits_for_the_proof_and_is_saved(cast: Cast) -> None:
    # Before the first tenant has Lockbox on, no second member of the staff must confirm.
    Tenant.objects.update(lockbox_on=False)
    client, page = signed_in(cast, "stella", fresh=False), reverse("admin:requests_app_service_add")
    form = {"key": "teams", "name": "Teams", "connector": "folder"}
    with only_a_refusal():
        asked = client.post(page, {**form, "step-up-password": "wrong", "step-up-code": "000000"})
    assert asked.status_code == 403
    for name, value in form.items():
        assert f'name="{name}" value="{value}"' in asked.content.decode()
    assert "is saved, except" not in asked.content.decode()
    proof = {"step-up-password": PASSWORD, "step-up-code": a_code(cast.stella)}
    assert client.post(page, {**form, **proof}).status_code == 302
    assert Service.objects.filter(key="teams").exists()

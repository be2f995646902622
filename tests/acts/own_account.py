"""Test cases for the acts that people do on their own accounts."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.domain import link_secrets
from requests_app.identity.factors import KeepsRecoveryCodes, drops_totp, keeps_totp
from tests.acts.case import Case
from tests.acts.shared import NEW_PASSWORD
from tests.cast import PASSWORD, Cast
from tests.factors import SECRET, give_app, set_up_app


def _changed_password(cast: Cast, client: Client, row: Any) -> Any:
    # The page requires a recent sign-in.
    client.post(reverse("account_login"), {"login": cast.mia.email, "password": PASSWORD})
    form = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    return client.post(reverse("account_change_password"), form)


CASES: dict[str, Case] = {
    "set_password": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.set_password(actor=actor, password=NEW_PASSWORD, how="change"),
        page=_changed_password,
    ),
    "set_up_totp": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.set_up_totp(actor=actor, keep=keeps_totp(SECRET)),
        page=lambda cast, client, row: set_up_app(client),
        status=200,
    ),
    "remove_totp": Case(
        "mia",
        lambda cast: give_app(cast.mia),
        lambda cast, row, actor: operations.remove_totp(actor=actor, keep=drops_totp),
        page=lambda cast, client, row: client.post(reverse("web:security_remove_app")),
    ),
    "make_recovery_codes": Case(
        "ada",
        lambda cast: None,
        lambda cast, row, actor: operations.make_recovery_codes(actor=actor, keep=KeepsRecoveryCodes()),
        page=lambda cast, client, row: client.post(reverse("web:security_new_codes")),
        status=200,
    ),
    "request_address": Case(
        "ada",
        lambda cast: None,
        lambda cast, row, actor: operations.request_address(email="ada@new.example", actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:address"), {"email": "ada@new.example"}),
    ),
    "confirm_address": Case(
        "ada",
        lambda cast: link_secrets.of(operations.request_address(email="ada@new.example", actor=cast.as_("ada")).pk, 1),
        lambda cast, row, actor: operations.confirm_address(row, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:address_confirm", args=[row])),
    ),
}

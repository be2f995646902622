"""The product's check of SAML answers against python3-saml: all that python3-saml refuses, the product refuses, too."""

from __future__ import annotations

import base64
import importlib
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from lxml import etree

from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import answers
from requests_app.identity.sso.saml.answers import Answer
from tests.saml_attacks import ATTACKS, encrypted_attacks
from tests.saml_idp import ENTITY_ID, SSO_URL, good, key_pair
from tests.saml_mutations import RECIPES, made, xmlsec_error
from tests.site.test_saml import ACS, AT, SAYS, US, expected, service_key

# It brings no types.
_response: Any = importlib.import_module("onelogin.saml2.response")
_settings: Any = importlib.import_module("onelogin.saml2.settings")
_utils: Any = importlib.import_module("onelogin.saml2.utils")

#: Both allow a minute between two clocks. python3-saml allows it only for the conditions, so its clock is late.
_LATE = 60


@pytest.fixture(scope="module", autouse=True)
def their_clock() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_utils.OneLogin_Saml2_Utils, "now", staticmethod(lambda: int(AT.timestamp()) - _LATE))
        yield


def _their_settings() -> Any:
    key = service_key()
    return _settings.OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": {
                "entityId": US,
                "assertionConsumerService": {"url": ACS},
                "x509cert": key.certificate,
                "privateKey": key.private,
            },
            "idp": {"entityId": ENTITY_ID, "singleSignOnService": {"url": SSO_URL}, "x509cert": key_pair()[1]},
            "security": {
                "wantAssertionsSigned": True,
                "wantAttributeStatement": False,
                "rejectDeprecatedAlgorithm": True,
                # Keycloak repeats attributes. Their values belong together.
                "allowRepeatAttributeName": True,
            },
        }
    )


def theirs(data: bytes) -> tuple[str, dict[str, list[str]]] | None:
    """Return the name and the attributes that python3-saml reads, or None if it refuses the answer."""
    request = {"https": "on", "http_host": "lockbox.example", "script_name": "/sign-in/answer/t/", "post_data": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = _response.OneLogin_Saml2_Response(_their_settings(), base64.b64encode(data).decode())
            if not found.is_valid(request, "_question"):
                return None
            return found.get_nameid(), found.get_attributes()
        except Exception:  # it raises many kinds of errors, and each means that nobody is signed in
            return None


def ours(data: bytes) -> Answer | None:
    try:
        return answers.verified(data, expected())
    except SignOnFailed:
        return None


def require_not_laxer(data: bytes) -> None:
    found = ours(data)
    if found is None:
        return
    other = theirs(data)
    assert other is not None, "python3-saml refuses it"
    assert found.subject == other[0]
    assert {name: list(values) for name, values in found.attributes.items()} == other[1]


def test_both_accept_a_good_answer() -> None:
    for how in ({}, {"method": "RSA_SHA512", "digest": "SHA512"}):
        data = good(SAYS, **how)
        assert (ours(data) is not None, theirs(data) is not None) == (True, True)


@pytest.mark.parametrize("attack", [*ATTACKS, *encrypted_attacks("")])
def test_no_attack_passes_here_that_python3_saml_refuses(attack: str) -> None:
    makes = {**ATTACKS, **encrypted_attacks(service_key().certificate)}[attack][0]
    require_not_laxer(makes(SAYS))


def _try(recipe: Any) -> None:
    try:
        data = made(SAYS, recipe, service_key().certificate)
    except (ValueError, TypeError, etree.LxmlError, xmlsec_error):
        assume(False)
        return
    require_not_laxer(data)


_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=120, deadline=None, suppress_health_check=_SLOW, phases=(Phase.explicit, Phase.generate))
@given(RECIPES)
def test_a_changed_answer_is_never_judged_more_laxly_than_by_python3_saml(recipe: Any) -> None:
    _try(recipe)


@pytest.mark.deep
@settings(max_examples=3000, deadline=None, suppress_health_check=_SLOW)
@given(RECIPES)
def test_thousands_of_changed_answers_are_never_judged_more_laxly_than_by_python3_saml(recipe: Any) -> None:
    _try(recipe)

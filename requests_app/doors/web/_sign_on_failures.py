"""The page that says why a sign-in through single sign-on failed."""

from __future__ import annotations

import structlog
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app.doors.web.context import instant
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.queries import single_sign_on as queries

security_log = structlog.get_logger("security")


def failed(
    request: HttpRequest, failure: SignOnFailed, *, is_test: bool, name: str = "", is_saml: bool = False
) -> HttpResponse:
    """Explain a failure. Details are shown only to a person who tests the connection; others learn what they can do."""
    # Wherever the operator's files are read, they can be bad.
    is_saml = is_saml or failure.code in OF_METADATA
    security_log.warning(
        "sign_in.single_sign_on_failed",
        code=failure.code,
        # What a stranger has written is a detail of the log, and never a line of it.
        detail=failure.detail[:120].encode("unicode_escape").decode(),
        place=name[:40],
        ip=request.META.get("REMOTE_ADDR", ""),
    )
    context = {
        "now": instant(request),
        "words": _saml_words(failure.code, is_test=is_test) if is_saml else _words(failure.code),
        "detail": failure.detail if is_test or failure.code == "nobody" else "",
        "code": failure.code,
        "is_test": is_test,
        "back_url": back(name) if is_test else "",
    }
    return render(request, "sign_on/failed.html", context, status=403 if is_saml or failure.code in _FORBIDDEN else 502)


def back(name: str) -> str:
    """Return the address of the page on which the test began."""
    return reverse("admin:single_sign_on") if name == queries.PROVIDER else reverse("web:sign_on", args=[name])


_FORBIDDEN = frozenset(
    (
        *("state", "mixed_up", "refused", "nobody", "no_code", "nonce", "signature", "audience"),
        *("kind", "weak_key", "token_hash", "userinfo_subject"),
    )
)


def _words(code: str) -> str:
    return {
        "unreachable": _("The identity provider does not answer."),
        "document": _("The identity provider’s answer could not be read."),
        "issuer": _("The identity provider uses a different issuer name than the name in the settings."),
        "endpoint": _(
            "The identity provider’s settings contain an address that this server is not allowed to contact."
        ),
        "pkce": _("The identity provider does not support PKCE with S256."),
        "state": _("This sign-in was not started in this browser, or was started too long ago. Start again."),
        "mixed_up": _("The answer came from a different identity provider than the one that this server asked."),
        "refused": _("The identity provider refused the sign-in."),
        "no_code": _("The identity provider’s answer contains no authorization code."),
        "exchange": _(
            "The identity provider did not accept the authorization code. Check the client’s id, its secret and the "
            "redirect address."
        ),
        "no_token": _("The identity provider sent no identity token. The scopes must include “openid”."),
        "keys": _("The identity provider’s keys could not be read."),
        "signature": _("The identity token is not signed by the identity provider."),
        "audience": _("The identity token is meant for another client."),
        "expired": _("The identity token has expired."),
        "time": _(
            "The identity token has the wrong time. Compare this server’s clock with the identity provider’s clock."
        ),
        "nonce": _("The identity token belongs to another sign-in."),
        "kind": _("The identity provider sent a token that is not an identity token."),
        "weak_key": _("The identity provider signs with an RSA key of less than 2048 bits. It needs a longer key."),
        "token_hash": _("The identity token does not belong to the access token that came with it."),
        "userinfo": _("The identity provider’s UserInfo endpoint gave no readable answer."),
        "userinfo_subject": _("The identity provider’s UserInfo endpoint answered about another person."),
        "subject": _("The identity token does not say to whom it belongs."),
        "unreadable": _("The client’s secret can’t be read any more. Enter it again."),
        "nobody": _("You are not signed in."),
    }[code]


def _saml_words(code: str, *, is_test: bool) -> str:
    """Return what a page says about a failure. Only a test says which check failed."""
    general = _(
        "The identity provider’s answer is not valid. Begin again. If this happens again, ask your administrator to "
        "test single sign-on."
    )
    return _saml_details().get(code, general) if is_test or code in _FOR_EVERYBODY else general


#: Failures of the identity provider's metadata, which can be found before an answer comes.
OF_METADATA = frozenset(("stale", "metadata", "unread"))
#: Failures that need no attack, and that the person can do something about.
_FOR_EVERYBODY = OF_METADATA | {"unasked", "refused"}


def _saml_details() -> dict[str, str]:
    return {
        "unasked": _("This answer belongs to no sign-in that was started here, or was used before. Start again."),
        "refused": _("The identity provider refused the sign-in."),
        "stale": _("The identity provider’s metadata has expired. An administrator must enter the present metadata."),
        "metadata": _("The identity provider’s metadata can’t be read."),
        "unread": _("The identity provider’s metadata could not be read at its address. Try again in a minute."),
        "relay_state": _("The answer came back without the value that this server sent (RelayState)."),
        "recipient": _("The answer is meant for another address. Compare the answer address at the identity provider."),
        "audience": _(
            "The answer is meant for another service provider. Compare the entity ID at the identity provider."
        ),
        "issuer": _("The answer comes from an identity provider with another entity ID than the metadata."),
        "assertions": _("The answer must contain exactly one assertion."),
        "signature": _(
            "The assertion is not signed by a certificate of the metadata. Sign the assertion, not only the answer."
        ),
        "algorithm": _("The answer is signed with an algorithm that is not accepted. Use SHA-256 with RSA or ECDSA."),
        "decryption": _(
            "The assertion can’t be decrypted. Compare the certificate at the identity provider. Use RSA-OAEP, and "
            "AES-GCM. Or use AES-CBC, and also sign the answer."
        ),
        "name_format": _("The NameID must be persistent. Set its format at the identity provider."),
        "subject": _("The NameID or its confirmation is not valid."),
        "authentication": _("The answer does not say how the person signed in."),
        "not_again": _("The identity provider did not ask the person to sign in again (ForceAuthn)."),
        "document": _("The answer could not be read."),
        "expired": _("The answer has expired. Compare this server’s clock with the identity provider’s clock."),
        "time": _("The answer has the wrong time. Compare this server’s clock with the identity provider’s clock."),
        "replay": _("This answer was used before."),
    }

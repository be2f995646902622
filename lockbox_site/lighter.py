"""Makes the content security policy of each answer in a part of the time that the library needs."""

from __future__ import annotations

from functools import cache

from csp.middleware import HEADER, CheckableLazyObject, CSPMiddleware, PolicyParts
from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

_PLACE = "place-of-the-nonce"


class PolicyMiddleware(CSPMiddleware):
    """Adds the policy, as the library does. Its text is made once, because only the nonce differs.

    An answer with a policy of its own is left to the library.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        nonce: str | None = getattr(request, "_csp_nonce", None)
        if not _is_usual(response) or self.get_policy_parts(request, response) != PolicyParts(nonce=nonce):
            return super().process_response(request, response)
        response[HEADER] = _policy(has_nonce=nonce is not None).replace(_PLACE, nonce or "")
        if nonce is None:
            # A page that asks for the nonce from now on would be sent without its scripts.
            request.csp_nonce = CheckableLazyObject(self._csp_nonce_post_response)  # type: ignore[attr-defined]  # set by the library too
        return response


def _is_usual(response: HttpResponseBase) -> bool:
    is_changed = HEADER in response or hasattr(response, "_csp_exempt") or hasattr(response, "_csp_exempt_ro")
    return not (is_changed or settings.DEBUG or hasattr(settings, "CONTENT_SECURITY_POLICY_REPORT_ONLY"))


@cache
def _policy(*, has_nonce: bool) -> str:
    return build_policy(nonce=_PLACE if has_nonce else None)

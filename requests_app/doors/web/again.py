"""Puts the sent form into the page about a failure, so that the person can send it again from there.

If the person goes back in the browser instead, the browser loads the form with another one-time token and without the
typed text.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.middleware.csrf import get_token

from requests_app.doors.web._secrets import are_left_out
from requests_app.doors.web.sent import FILES, PREFIX, PROOF, address_of, fields_of, is_from_our_page, sent_with
from requests_app.platform import outcome
from requests_app.templatetags.once import FIELD


def form_of(request: HttpRequest) -> dict[str, Any]:
    """Return what a template needs to send the same form again, with the same one-time token.

    Return {} if the form contains files or secrets, because a page can't send these again. The proof of a
    decision is an exception: it is left out, and the page asks for it again.
    """
    token = outcome.current().token or request.POST.get(FIELD, "")
    view = request.resolver_match.view_name if request.resolver_match else ""
    if request.method != "POST" or not token or view in FILES or not is_from_our_page(request):
        return {}
    # The page asks for the proof of a decision again, so this proof can be left out. No other secret can.
    proof = PROOF.get(view, frozenset())
    sent = [(name, value) for name, value in sent_with(request) if name not in proof and not name.startswith(PREFIX)]
    fields = [(name, value) for name, value in fields_of(request) if name != FIELD]
    if are_left_out(sent) or request.FILES or (sent and not fields and not _is_bare(sent)):
        return {}
    outcome.current().token, outcome.current().is_sent_again = token, True
    return {"again": fields, "again_to": address_of(request), "csrf_token": get_token(request)}


def _is_bare(sent: list[tuple[str, str]]) -> bool:
    """Return whether the form had only a button."""
    return {name for name, _value in sent} <= {FIELD, "csrfmiddlewaretoken"}

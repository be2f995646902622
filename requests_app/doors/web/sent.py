"""What a form has sent, and how much of it can be stored or shown again."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.http import escape_leading_slashes

from requests_app.doors.web._secrets import may_wait

#: The names of the fields of a step-up begin with this.
PREFIX = "step-up"
#: The fields of a decision's proof. A code and a signature work once, so these fields are different in each try.
PROOF = {"web:decide": frozenset({"password", "code", "manifest", "assertion"})}
#: These answer with a file, and the page stays as it is. Each file is a separate download with its own entry.
FILES = frozenset({"web:log_export", "web:log_evidence", "web:access_request_evidence"})
#: A form with more text is not stored.
MOST = 64 * 1024


def address_of(request: HttpRequest) -> str:
    """Return the requested address as a path of this site.

    A path that begins with two slashes would lead to another site.
    """
    return escape_leading_slashes(request.get_full_path())


def sent_with(request: HttpRequest) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, values in request.POST.lists() for value in values]


def fields_of(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the typed values without secrets. Return [] if another site sent the form, or if it is too long."""
    if request.method != "POST" or request.FILES or not is_from_our_page(request):
        return []
    sent = request.POST.lists()
    found = [(name, str(value)) for name, values in sent for value in values if not name.startswith(PREFIX)]
    found = [(name, value) for name, value in found if may_wait(name, value)]
    return found if sum(len(name) + len(value) for name, value in found) <= MOST else []


def is_from_our_page(request: HttpRequest) -> bool:
    return _Check(lambda _request: HttpResponse()).process_view(request, _nothing, (), {}) is None


class _Check(CsrfViewMiddleware):
    """Checks whether a page of this product has sent the form.

    Only its verdict counts. Its response is never sent.
    """

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return HttpResponse(status=403)


def _nothing(request: HttpRequest) -> HttpResponse:
    """Return an empty page. The CSRF check needs a view, but never calls it."""
    return HttpResponse()

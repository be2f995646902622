"""What customers can check without the provider: proofs of entries, checkpoints, receipts, and instructions."""

from __future__ import annotations

import functools
import hashlib
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit_app import checkpoints
from requests_app.domain.errors import LogDamaged, NotYetSigned
from requests_app.doors.web._log_state import signing_keys
from requests_app.doors.web.context import instant
from requests_app.doors.web.log import log_of
from requests_app.doors.web.middleware import actor_in
from requests_app.models import Tenant
from requests_app.queries import access
from requests_app.queries import log_proofs as queries

#: The verifier. Pages show only its digest, and no page serves the file. A provider that
#: forges a log would also forge the verifier.
VERIFIER = settings.VERIFIER
#: For each result: the exact word that the verifier prints, its exit status if it ends with this result, and the
#: meaning.
RESULTS: tuple[tuple[str, int | None, Promise], ...] = (
    (
        "GOOD",
        0,
        gettext_lazy(
            "No entry has changed since it was signed. In evidence of the whole log or of a period, no entry is "
            "missing, except the entries that the verifier lists as removed. In evidence of one access request, "
            "entries could be missing, and the verifier can’t detect this. If the verifier prints “replayed”, "
            "each access to content was in an approved window."
        ),
    ),
    (
        "BAD",
        1,
        gettext_lazy(
            "Something is false. The verifier prints the first bad entry, and why it is bad. Do not change the file, "
            "and call your security people."
        ),
    ),
    (
        "CAN'T TELL",
        2,
        gettext_lazy(
            "The verifier found nothing false, but it needs something that is missing. The verifier prints what "
            "is missing."
        ),
    ),
    (
        "vouched",
        None,
        gettext_lazy(
            "The provider’s decision is signed, and the signature is valid. Only the provider’s own log says to whom "
            "the key belongs, so you must trust the provider for that."
        ),
    ),
    (
        "unproven",
        None,
        gettext_lazy(
            "The decision is not signed with a key of the person who decided. The log proves when the decision "
            "was recorded. Only the provider says that this person made the decision, so you must trust the "
            "provider for that."
        ),
    ),
    (
        "not proven",
        None,
        gettext_lazy(
            "This is stated only in the evidence itself, and no signature confirms it. Examples are the files that "
            "are made for reading, such as timeline.pdf, and the tenant’s name if no entry in the evidence contains "
            "a name."
        ),
    ),
    (
        "cosigned by a key that you did not name",
        None,
        gettext_lazy(
            "The key of this witness comes from the evidence itself, and anybody could have made this key. Use "
            "--witness to give the verifier the key of your own witness."
        ),
    ),
    (
        "WARNING",
        None,
        gettext_lazy(
            "You did not give the verifier a key, so it used the key in the evidence itself. Give it the key that "
            "you saved in step 1."
        ),
    ),
)


# --- Proofs --------------------------------------------------------------------------------------------------


@login_required
@require_safe
@never_cache
def log_proof(request: HttpRequest, tenant: UUID, seq: int) -> HttpResponse:
    """Send the `.tlog-proof` of one entry. Only people who can read the log get it."""
    row = log_of(tenant, actor=actor_in(request))
    back = f"{reverse('web:log', args=[row.pk])}?entry={seq}#entry-{seq}"
    return _proof(request, row, seq, back_url=back, back_label=_("To this entry in the log"))


@login_required
@require_safe
@never_cache
def access_request_receipt(request: HttpRequest, pk: UUID, seq: int) -> HttpResponse:
    """Send the proof of a decision or of a window's end. Everybody who can see the access request gets it."""
    row = access.access_request(pk, actor=actor_in(request))
    queries.require_receipt(row, seq)
    back = reverse("web:access_request", args=[row.pk])
    return _proof(request, row.tenant, seq, back_url=back, back_label=_("Back to %s") % row.reference)


def _proof(request: HttpRequest, tenant: Tenant, seq: int, *, back_url: str, back_label: str) -> HttpResponse:
    try:
        found = queries.proof(tenant, seq)
    except (NotYetSigned, LogDamaged) as error:
        context = {
            "code": error.code,
            "message": error.message,
            "back_url": back_url,
            "back_label": back_label,
            "again": type(error) is NotYetSigned,
        }
        return render(request, "log/no_proof.html", context, status=error.status)
    return _file(str(found), queries.proof_name(tenant, seq))


def _file(text: str, name: str) -> HttpResponse:
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


# --- Checkpoints ---------------------------------------------------------------------------------------------


@login_required
@require_safe
@never_cache
def log_checkpoint(request: HttpRequest, tenant: UUID, shard: int | None = None) -> HttpResponse:
    """Send a checkpoint with its cosignatures, for people to save. The file name contains the shard and the size."""
    row = log_of(tenant, actor=actor_in(request))
    found = queries.checkpoint(row, shard)
    part = f"{found.shard}-" if found.shard else ""
    return _file(found.text, f"{row.slug}-{part}{found.size}.checkpoint")


@login_required
@require_safe
@never_cache
def log_consistency(request: HttpRequest, tenant: UUID, old: int, new: int, shard: int | None = None) -> HttpResponse:
    """Send the proof that leads from a stored checkpoint to a later one, for `lockbox_verify.py --consistency`."""
    row = log_of(tenant, actor=actor_in(request))
    part = f"{shard}-" if shard else ""
    return _file(str(queries.consistency(row, old, new, shard)), f"{row.slug}-{part}{old}-{new}.consistency")


# --- How to check it -----------------------------------------------------------------------------------------


@login_required
@require_safe
def how_to_verify(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Show how to check this log on the reader's own machine. The commands contain the log's names and keys."""
    row = log_of(tenant, actor=actor_in(request))
    state = checkpoints.state(row.pk)
    keys = signing_keys(state)
    context = {
        "now": instant(request),
        "tenant": row,
        "state": state,
        "keys": keys,
        "now_signing": [key for key in keys if key.signs],
        "key_file": f"{row.slug}.vkey",
        "witness_name": f"witness.{row.slug}.example",
        "results": RESULTS,
        "digest": _verifier_digest(),
    }
    return render(request, "log/how_to_verify.html", context)


@functools.cache
def _verifier_digest() -> str:
    """Return SHA-256 of this product's verifier, or "" if the installation does not contain the verifier."""
    try:
        return hashlib.sha256(VERIFIER.read_bytes()).hexdigest()
    except OSError:
        return ""


urlpatterns = [
    path("log/<uuid:tenant>/proof/<int:seq>/", log_proof, name="log_proof"),
    path("log/<uuid:tenant>/checkpoint/", log_checkpoint, name="log_checkpoint"),
    path("log/<uuid:tenant>/checkpoint/<int:shard>/", log_checkpoint, name="log_checkpoint_of"),
    path("log/<uuid:tenant>/consistency/<int:old>/<int:new>/", log_consistency, name="log_consistency"),
    path("log/<uuid:tenant>/consistency/<int:old>/<int:new>/<int:shard>/", log_consistency, name="log_consistency_of"),
    path("log/<uuid:tenant>/how-to-verify/", how_to_verify, name="how_to_verify"),
    path("access-requests/<uuid:pk>/receipts/<int:seq>/", access_request_receipt, name="access_request_receipt"),
]

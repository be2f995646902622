"""Decisions: the page that asks for confirmation and the proof, and the receipt."""

from __future__ import annotations

import json
import math
from typing import Any
from uuid import UUID

import structlog
from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, register_converter, reverse
from django.urls.converters import StringConverter
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from requests_app import operations
from requests_app.domain import clock, manifest
from requests_app.domain.actors import Actor, Side
from requests_app.domain.acts.access_requests import APPROVE_AS_CUSTOMER
from requests_app.domain.errors import (
    CodeAlreadyUsed,
    DeviceBoundRequired,
    DomainError,
    FactsChanged,
    LogNotCosigned,
    Malformed,
    ManifestRefused,
    NotAllowed,
    NotFound,
    OwnKeyRequired,
    PasskeyRefused,
    SignatureRequired,
    StepUpRequired,
    TooManyGuesses,
    Unacceptable,
    WrongState,
)
from requests_app.domain.lifecycle import TRANSITIONS, Transition, deciding_act
from requests_app.doors.web import _known_password
from requests_app.doors.web._access import grant_of
from requests_app.doors.web._known_password import act_of
from requests_app.doors.web._refusals import noted
from requests_app.doors.web._step_up import is_fresh, is_this_person, next_code_is_missing, remember
from requests_app.doors.web.access_requests import changed, facts
from requests_app.doors.web.acts import ActForm
from requests_app.doors.web.context import began, instant
from requests_app.doors.web.forms.security import ProofForm, assertion_field, code_field, password_field
from requests_app.doors.web.middleware import PASSWORD_AND_CODE, actor_in
from requests_app.doors.web.once import leading_to
from requests_app.models import AccessRequest, Decision
from requests_app.queries import access, review, signing
from requests_app.words import sentences

security_log = structlog.get_logger("security")

_READERS = {
    Side.PROVIDER: _("The engineer and the customer can read your comment."),
    Side.CUSTOMER: _("The engineer and the provider’s approvers can read your comment."),
}
#: Refusals that are about no field, so their sentence is shown above the form.
_SHOWN_ABOVE = (
    PasskeyRefused, ManifestRefused, SignatureRequired, DeviceBoundRequired, OwnKeyRequired, LogNotCosigned,
)  # fmt: skip


class DecisionForm(ProofForm, ActForm):
    """The form of a decision. `digest` and `shown` identify the version of the access request that the page showed.

    `manifest` is the text to sign, and `assertion` is the passkey's answer. The form asks for no password and no code
    if there is an assertion, or if `is_proven` is true (the person gave their second factor a moment ago). If a
    password or a code is sent anyway, it is checked.
    """

    password = password_field(help_text=_("A decision needs proof that it is you, even while you are signed in."))
    code = code_field()
    manifest = forms.CharField(max_length=manifest.MOST, required=False, strip=False, widget=forms.HiddenInput)
    assertion = assertion_field(required=False)
    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    shown = forms.CharField(max_length=20, widget=forms.HiddenInput)

    def __init__(
        self,
        *args: Any,
        edge: Transition,
        side: Side,
        is_proven: bool = False,
        is_password_known: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.is_password_known = is_password_known
        self.is_proof_typed = bool(self.data.get("password") or self.data.get("code"))
        self.is_proven = is_proven and not self.is_proof_typed
        self.fields["comment"].required = edge.needs_note
        self.fields["comment"].error_messages["required"] = _("A denial needs a reason: write one sentence.")
        self.fields["comment"].help_text = _READERS[side]
        # A value that is not JSON counts too: it is refused as a signature, and the form asks for no password.
        self.is_signed = bool(self.data.get("assertion"))
        if edge.needs_step_up:
            self.fields["code"].required = not (self.is_signed or self.is_proven)
            self.fields["password"].required = self.fields["code"].required and not is_password_known
        else:
            del self.fields["password"], self.fields["code"]

    @property
    def wrong(self) -> str:
        if self.is_password_known:
            return gettext("The code is not right. Nothing was decided.")
        return gettext("The password or the code is not right. Nothing was decided.")

    @property
    def lacks_only_the_proof(self) -> bool:
        """Whether the form lacks only the proof, because the page did not ask for it or the person did not type it."""
        return not self.is_proof_typed and set(self.errors) <= {"password", "code"}

    @property
    def signature(self) -> operations.Signed | None:
        if not self.is_signed:
            return None
        given = self.cleaned_data
        return operations.Signed(manifest=given.get("manifest", ""), assertion=given.get("assertion"))


# --- Confirm -------------------------------------------------------------------------------------------------


@login_required
@sensitive_post_parameters("password", "code")
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: HttpRequest, pk: UUID, verdict: str) -> HttpResponse:
    """On GET, show in one sentence what the decision would do. On POST, make the decision.

    The form must contain a proof, unless an earlier proof still counts.
    """
    actor = actor_in(request)
    edge = TRANSITIONS[deciding_act(verdict, actor.side).name]
    if request.method == "POST":
        return _decided(request, access.to_decide(pk, actor=actor), edge)
    row, at = access.access_request(pk, actor=actor), instant(request)
    if _is_done(row, edge, actor):
        return redirect("web:receipt", pk=row.pk)
    if (refusal := access.refusal(row, edge.act.name, actor=actor, at=at)) is not None:
        return _not_offered(request, row, edge, refusal)
    is_proven = is_fresh(request, at=at) and not signing.passkeys(actor, row.tenant_id)
    initial = {"digest": row.content_digest, "shown": row.state}
    form = DecisionForm(initial=initial, edge=edge, side=actor.side, is_proven=is_proven)
    return _confirm(request, row, form, edge)


def _decided(request: HttpRequest, seen: AccessRequest, edge: Transition) -> HttpResponse:
    """Answer a sent form.

    `seen` has only the values to compare with the form, because the operation reads the row itself.

    The whole row is read here only if the operation can't be called yet: a proof is missing or must be checked, or the
    page is out of date. In this case, the row's state is checked before the proof.
    """
    actor, at = actor_in(request), began(request)
    act = act_of(request, [("digest", seen.content_digest)])
    form = DecisionForm(
        request.POST,
        edge=edge,
        side=actor.side,
        is_proven=is_fresh(request, at=at) and not seen.is_to_sign,  # type: ignore[attr-defined]  # annotated
        is_password_known=_known_password.is_known(request, act, at=at),
    )
    form.refuse_unknown()
    is_filled = form.is_valid()
    if "digest" in form.errors or "shown" in form.errors:
        raise Malformed
    is_ready = is_filled and (form.is_signed or form.is_proven or not edge.needs_step_up)
    if is_ready and _is_same(seen, form):
        row = seen
        actor = leading_to(request, reverse("web:receipt", args=[seen.pk]))
    else:
        row = access.access_request(seen.pk, actor=actor)
        if _is_done(row, edge, actor):
            return redirect("web:receipt", pk=row.pk)
        refusal = access.refusal(row, edge.act.name, actor=actor, at=at)
        if refusal is None and not _is_same(row, form):
            refusal = _stale(row, actor)
        if refusal is not None:
            return _not_offered(request, row, edge, refusal)
    return _attempted(request, row, form, edge, actor, act)


def _attempted(
    request: HttpRequest, row: AccessRequest, form: DecisionForm, edge: Transition, actor: Actor, act: str
) -> HttpResponse:
    """Make the decision in the form.

    If the decision is refused, show the form again with the reason, or show what has changed.
    """
    try:
        return _as_filled_in(request, row, form, edge, actor)
    except CodeAlreadyUsed as mistake:
        return _confirm(request, row, form, edge, status=next_code_is_missing(request, form, mistake, act=act))
    except _SHOWN_ABOVE as error:
        form.add_error(None, str(error))
        return _confirm(request, row, form, edge, status=error.status)
    except WrongState as error:
        return changed(request, row, edge, error)
    except Unacceptable as error:
        form.add_error("comment", str(error))
        return _confirm(request, row, form, edge, status=error.status)
    except TooManyGuesses as error:
        form.add_error(None, str(error))
        response = _confirm(request, row, form, edge, status=error.status)
        response["Retry-After"] = str(max(1, math.ceil((error.until - clock.now()).total_seconds())))
        return response


def _as_filled_in(
    request: HttpRequest, row: AccessRequest, form: DecisionForm, edge: Transition, actor: Actor
) -> HttpResponse:
    """Call the operation if the form has all that the decision needs. Before that, check the password and the code."""
    if not form.is_valid():
        if form.lacks_only_the_proof:
            # The page may have asked for no proof, because five minutes ago none was needed.
            words = _(
                "Nothing was decided yet. Prove again that it is you: an approval needs proof that is not older than "
                "five minutes."
            )
            form.add_error(None, words)
        return _confirm(request, row, form, edge, status=Unacceptable.status)
    note, signature = form.cleaned_data["comment"], form.signature
    if signature is not None or not edge.needs_step_up:
        operations.of(edge.act)(row.pk, actor=actor, note=note, signature=signature)
        return redirect("web:receipt", pk=row.pk)
    if not form.is_proven:
        with noted(row, edge.act.name, actor):
            given = form.cleaned_data["password"], form.cleaned_data["code"]
            is_right = is_this_person(request, *given, is_password_known=form.is_password_known)
        if not is_right:
            operations.note_refusal(row.pk, action=edge.act.name, refusal=StepUpRequired(), actor=actor, always=True)
            form.add_error(None, form.wrong)
            return _confirm(request, row, form, edge, status=StepUpRequired.status)
        _known_password.forget(request)
        remember(request, at=clock.now(), way=PASSWORD_AND_CODE)
        actor = actor.stepped_up(clock.now())
    operations.of(edge.act)(row.pk, actor=actor, note=note)
    return redirect("web:receipt", pk=row.pk)


def _confirm(
    request: HttpRequest, row: AccessRequest, form: DecisionForm, edge: Transition, *, status: int = 200
) -> HttpResponse:
    if row.get_deferred_fields():
        row = access.access_request(row.pk, actor=actor_in(request))
    context = facts(row, actor=actor_in(request), at=instant(request))
    context |= {"form": form, "edge": edge, "is_yes": edge.verdict == Decision.Verdict.APPROVE}
    context["named"] = sentences.NAMED
    context |= _to_sign(request, row, edge, is_proof_possible=context["may_decide"])
    return render(request, "access_requests/confirm.html", context, status=status)


def _to_sign(request: HttpRequest, row: AccessRequest, edge: Transition, *, is_proof_possible: bool) -> dict[str, Any]:
    """Return what the page offers to sign: a new text each time, and the passkeys that can sign it."""
    actor = actor_in(request)
    must_sign = edge.act.name == APPROVE_AS_CUSTOMER.name and row.tenant.wants_signature
    counts_for = row.tenant if must_sign else None
    keys = signing.passkeys(actor, row.tenant_id, counts_for=counts_for) if is_proof_possible else []
    found: dict[str, Any] = {"must_sign": must_sign, "passkeys": keys}
    if keys:
        text = signing.text_to_sign(row, actor=actor, verdict=edge.verdict, at=instant(request))
        challenge = manifest.challenge_of(text)
        found |= {"manifest": text, "manifest_digest": challenge.hex(), "manifest_lines": manifest.shown(text)}
        found["options"] = json.dumps(signing.options(keys, challenge))
    return found


def _is_done(row: AccessRequest, edge: Transition, actor: Actor) -> bool:
    """Return whether this person has already made this decision, for example with the first of two clicks."""
    decision = row.decision_of(actor.human_id, edge.stage)
    return decision is not None and decision.verdict == edge.verdict


def _not_offered(request: HttpRequest, row: AccessRequest, edge: Transition, refusal: DomainError) -> HttpResponse:
    """Answer with the reason why the form is not offered.

    If this person can never decide on the access request, the answer also hides the access request's present state.
    """
    with noted(row, edge.act.name, actor_in(request)):
        if isinstance(refusal, NotAllowed):
            raise refusal
    if request.method == "POST":
        operations.note_refusal(row.pk, action=edge.act.name, refusal=refusal, actor=actor_in(request))
    return changed(request, row, edge, refusal)


def _is_same(row: AccessRequest, form: DecisionForm) -> bool:
    """Return whether the row is still the version that the page showed."""
    shown = form.cleaned_data
    return bool(shown["digest"] == row.content_digest and shown["shown"] == row.state)


def _stale(row: AccessRequest, actor: Actor) -> FactsChanged:
    security_log.warning("decision.stale", person=str(actor.person_id), access_request=str(row.pk))
    return FactsChanged(
        _("The access request has changed since you opened this page. Read it again before you decide.")
    )


# --- Receipt -------------------------------------------------------------------------------------------------


@login_required
@require_safe
def receipt(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show the decision of the person's side, with its entry in the log, and what happens next.

    People can save this page.
    """
    actor, at = actor_in(request), instant(request)
    row = access.access_request(pk, actor=actor)
    decision = next((d for d in row.decisions.all() if d.stage == actor.side), None)
    if decision is None:
        raise NotFound
    edge = TRANSITIONS[deciding_act(decision.verdict, decision.stage).name]
    is_yes = decision.verdict == Decision.Verdict.APPROVE
    entry = review.decision_entry(row, edge.event)
    context = {
        **facts(row, actor=actor, at=at),
        "decision": decision,
        "is_yes": is_yes,
        "is_mine": actor.human_id in decision.humans,
        "entry": entry,
        "entry_hash": bytes(entry.leaf_hash).hex() if entry else "",
        "told": _informed(row, asks_customer=decision.stage == Decision.Stage.PROVIDER and is_yes),
    }
    return render(request, "access_requests/receipt.html", context)


def _informed(row: AccessRequest, *, asks_customer: bool) -> list[str]:
    """Return which groups of people get a mail about the decision.

    The group's members are read when the mail is sent.
    """
    values = {"engineer": row.requested_by.name, "provider": settings.PROVIDER_NAME, "tenant": row.tenant.name}
    engineer = gettext("%(engineer)s, who asked") % values
    provider = gettext("the approvers of %(provider)s") % values
    customer = gettext("the approvers of %(tenant)s, and its notification addresses") % values
    grant = grant_of(row)
    if asks_customer and grant is None:
        return [customer]
    reached_customer = grant is not None or any(d.stage == Decision.Stage.CUSTOMER for d in row.decisions.all())
    return [engineer, provider, customer] if reached_customer else [engineer, provider]


class _Verdict(StringConverter):
    regex = "approve|deny"


register_converter(_Verdict, "verdict")

_ONE = "access-requests/<uuid:pk>"
urlpatterns = [
    path(f"{_ONE}/decide/<verdict:verdict>/", decide, name="decide"),
    path(f"{_ONE}/receipt/", receipt, name="receipt"),
]

"""Callers of the API. Staff manage the provider's own clients, and can end all other clients and tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.callers import (
    CHANGE_CLIENT,
    CREATE_CLIENT,
    GIVE_SCOPES,
    MAKE_LASTING_TOKEN,
    REMOVE_CLIENT,
    REVOKE_TOKEN,
    ROTATE_CLIENT_SECRET,
)
from requests_app.domain.acts.webhooks import ADD_CALLBACK
from requests_app.domain.scopes import OF_PROVIDER_CLIENTS, Scope
from requests_app.doors.admin.acts import ActForm, AdminAction, of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import mono, page_of, preformatted
from requests_app.doors.admin.filters import by_choice, by_flag, by_row, by_service, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.doors.admin.webhooks import keys_of, place
from requests_app.models import Client, Person, Proposal, Service, Token, Webhook
from requests_app.operations import Issued, Made
from requests_app.operations.integrations import LASTING_LIFETIMES
from requests_app.platform.addresses import absolute
from requests_app.platform.secret_answers import secret_answer
from requests_app.queries import applications
from requests_app.words import guard_lines
from requests_app.words import scopes as scope_words


@admin.display(description=gettext_lazy("name"))
def name(row: Client | Token) -> str:
    """Return the row's name.

    In a list, the name links to the row's own page, and the next column to the account's page.
    """
    return str(row)


@admin.display(description=gettext_lazy("scopes"))
def scopes(row: Client | Token) -> str:
    return mono(" ".join(row.scopes))


@admin.display(description=gettext_lazy("scopes that wait"))
def waiting(row: Client) -> str:
    """Return the scopes that are only proposed, each time with a link to the proposal, or ""."""
    pending = Proposal.objects.of_staff().pending(clock.now()).filter(act__in=GIVE_SCOPES, said__client=str(row.pk))
    lines = ((mono(" ".join(each.said["gained"])), page_of(each), _("proposed")) for each in pending)
    return format_html_join(", ", '{} (<a href="{}">{}</a>)', lines)


@admin.display(description=gettext_lazy("Django"))
def django_lines(row: Client) -> str:
    found = applications.guard_settings(row)
    return preformatted(guard_lines.django(found)) if found else ""


@admin.display(description=gettext_lazy("Express"))
def node_lines(row: Client) -> str:
    found = applications.guard_settings(row)
    return preformatted(guard_lines.node(found)) if found else ""


@admin.display(description=gettext_lazy("works"), boolean=True)
def works(row: Client) -> bool:
    return row.account.is_active


@admin.display(description=gettext_lazy("works"), boolean=True)
def is_live(row: Token) -> bool:
    """Return whether the token worked at the instant at which the row was read."""
    return row.account.is_active and row.is_live(row.read_at)


# --- Clients -------------------------------------------------------------------------------------------------


class ScopesForm(ActForm):
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("What the client can do"), widget=forms.CheckboxSelectMultiple
    )

    service_id = forms.ChoiceField(
        label=gettext_lazy("Guards the application of"),
        required=False,
        help_text=gettext_lazy("Only for a client with the scope guard: the external service of its application."),
    )

    def prepare(self) -> None:
        self.fields["scopes"].choices = scope_words.choices(OF_PROVIDER_CLIENTS)  # type: ignore[attr-defined]  # a ChoiceField
        external = Service.objects.filter(connector=Service.EXTERNAL, is_active=True).order_by("name")
        if self.row is not None:
            self.initial.update({"scopes": self.row.scopes, "service_id": str(self.row.service_id or "")})
            external |= Service.objects.filter(pk=self.row.service_id)
        offered = [(str(each.pk), each.name) for each in external]
        self.fields["service_id"].choices = [("", _("no application")), *offered]  # type: ignore[attr-defined]  # a ChoiceField

    def clean_service_id(self) -> str | None:
        return self.cleaned_data["service_id"] or None


class ClientForm(ScopesForm):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=80)
    field_order = ("name", "scopes", "service_id")


def belongs_to_provider(row: Client) -> bool:
    """Return whether the client belongs to the provider and is not removed."""
    return row.tenant_id is None and row.account.is_active


class LastingTokenForm(ActForm):
    days = forms.TypedChoiceField(label=gettext_lazy("How long the token is valid"), coerce=int, initial=365)

    def prepare(self) -> None:
        choices = [(n, ngettext("%(n)d day", "%(n)d days", n) % {"n": n}) for n in LASTING_LIFETIMES]
        self.fields["days"].choices = choices  # type: ignore[attr-defined]  # a ChoiceField


def is_directory(row: Client) -> bool:
    return belongs_to_provider(row) and row.scopes == [Scope.MEMBERS_PROVISION]


def make_token(row: Client, actor: Actor, data: dict[str, Any]) -> Made:
    return operations.make_lasting_token(row.pk, actor=actor, **data)


class CallbackForm(ActForm):
    url = forms.CharField(label=gettext_lazy("Address"), max_length=1000)
    label = forms.CharField(label=gettext_lazy("Label"), max_length=80, required=False)


def asks(row: Client) -> bool:
    """Return whether the client can ask for access, so that callbacks are of use to it."""
    return belongs_to_provider(row) and Scope.REQUESTS_ASK in row.scopes


def add(row: None, actor: Actor, data: dict[str, Any]) -> Made:
    return operations.create_client(actor=actor, **data)


class ClientAdmin(StaffAdmin):
    list_display = (name, "tenant", scopes, works, "decides_for", "created_at")
    reads: ClassVar = ("account", "tenant", "decides_for", "service", "created_by", "secret_by")
    ordering = ("-created_at",)
    search: ClassVar = Search(ids=("pk", "account"), tenant="tenant", words=("account__name",))
    list_filter = (
        by_flag("account__is_active", gettext_lazy("works")),
        by_tenant(),
        by_service(),
        by_row("created_by", gettext_lazy("made by"), Person),
        by_row("secret_by", gettext_lazy("secret of"), Person),
    )
    lead = gettext_lazy(
        "Machines that call the API. Clients without a tenant belong to the provider and serve every tenant. A "
        "customer’s own administrator manages the customer’s clients. You can remove the "
        "customer’s clients, but not change them."
    )
    facts: ClassVar = [
        ("", ("account", "id", "tenant", scopes, waiting, "decides_for", "service", works)),
        (gettext_lazy("Since when"), ("created_by", "created_at", "secret_at", "secret_by")),
        (gettext_lazy("The lines for the application"), (django_lines, node_lines)),
    ]
    related: ClassVar = [
        Related(model=Token, by=lambda row: {"account": row.account}),
        Related(
            model=Webhook,
            by=lambda row: {"client": row} if row.tenant_id is None else None,
            columns=(place, "label", "is_on", "failing_since"),
            title=gettext_lazy("Callback addresses"),
        ),
    ]
    adding: ClassVar = AdminAction(
        name="add",
        label=gettext_lazy("Add an API client"),
        form=ClientForm,
        run=add,
        done=CREATE_CLIENT.done,
        explains=gettext_lazy(
            "This client belongs to the provider: it serves every tenant, and cannot approve or deny. Its secret is "
            "shown once. A client for the provider’s own directory (SCIM) has only the scope members:provision. If any "
            "customer has ever switched Lockbox on, the client gets some scopes later: evaluate, guard, requests:ask, "
            "requests:submit and members:provision are announced to customers, a second member of the staff must "
            "confirm them, and they take effect after the waiting time."
        ),
    )
    acts: ClassVar = [
        of_act(
            CHANGE_CLIENT,
            "change",
            label=gettext_lazy("Change what the client can do"),
            form=ScopesForm,
            offered=belongs_to_provider,
        ),
        of_act(
            ROTATE_CLIENT_SECRET,
            "rotate",
            label=gettext_lazy("Create a new secret"),
            explains=gettext_lazy(
                "The new secret is shown once. The current secret and all tokens of this client stop working "
                "immediately."
            ),
            offered=belongs_to_provider,
        ),
        of_act(
            MAKE_LASTING_TOKEN,
            "lasting-token",
            label=gettext_lazy("Create a long-lived token"),
            form=LastingTokenForm,
            run=make_token,
            explains=gettext_lazy(
                "For a directory that can only store one token. The token is shown once. The current token works for "
                "one more week, and older tokens stop working immediately. Anybody who has the token can manage the "
                "provider’s people."
            ),
            offered=is_directory,
        ),
        of_act(
            ADD_CALLBACK,
            "callback",
            label=gettext_lazy("Register a callback address"),
            form=CallbackForm,
            explains=gettext_lazy(
                "The client can name this address when it asks for access. When the access request is approved, "
                "denied, withdrawn or expired, the address gets a signed message with its id and its status, and "
                "nothing else. "
                "The secret is shown once. Change, test or remove the address on its page under Webhooks."
            ),
            offered=asks,
        ),
        of_act(
            REMOVE_CLIENT,
            "remove",
            label=gettext_lazy("Remove the client"),
            explains=gettext_lazy(
                "The client’s secret and tokens stop working immediately. Nobody can restore the client."
            ),
            offered=works,
            bulk=gettext_lazy("Remove"),
        ),
    ]

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        """Show the new secret in the answer to the act.

        Only its hash is stored, so no later page can show the secret.
        """
        if isinstance(result, Issued):
            return keys_of(request, self._context(request, row), result)
        if not isinstance(result, Made):
            return super().done(request, act, row, result)
        if act.name == "add" and set(request.POST.getlist("scopes")) - set(result.row.scopes):
            words = _(
                "Some of the scopes are only proposed: customers get a mail before the client gets these scopes. The "
                "change is listed under Proposals."
            )
            messages.info(request, words)
        if isinstance(result.row, Token):
            found = {"title": _("The long-lived token"), "client": row}
            found["scim_url"] = absolute(reverse("api:scim_users").removesuffix("/Users"))
        else:
            found = {"title": _("The client’s secret"), "client": result.row}
            found["token_url"] = absolute(reverse("api:token"))
            if values := applications.guard_settings(result.row):
                lines = [("Django", guard_lines.django(values)), ("Express", guard_lines.node(values))]
                found |= {"guard_lines": lines, "secret_variable": guard_lines.SECRET}
                found["is_proposed"] = result.row.service is None
        context = {**self._context(request, found["client"]), **found, "secret": result.secret}
        # The page of the service shows the first sign of its guard.
        context["back_url"] = page_of(found["client"].service or found["client"])
        response = TemplateResponse(request, "admin/client_secret.html", context)
        return secret_answer(response)


# --- Tokens --------------------------------------------------------------------------------------------------


def may_be_revoked(row: Token) -> bool:
    """Return whether staff can revoke the token.

    An access token can't be revoked: it lasts one hour, and ends with the client's secret.
    """
    return row.kind != Token.Kind.ACCESS and row.is_live(clock.now())


class TokenAdmin(StaffAdmin):
    list_display = (name, "account", "kind", "hint", is_live, "created_at", "expires_at", "last_used_at")
    reads: ClassVar = ("account", "revoked_by", "made_by")
    ordering = ("-created_at",)
    search: ClassVar = Search(ids=("pk", "account"), people=("account",))
    list_filter = (
        by_choice("kind", gettext_lazy("kind"), Token.Kind.choices),
        by_row("account", gettext_lazy("account"), Person),
        by_row("made_by", gettext_lazy("made by"), Person),
    )
    lead = gettext_lazy(
        "Tokens are stored as hashes: nobody can read a token here. People make their tokens on their own page."
    )
    facts: ClassVar = [
        ("", ("account", "name", "kind", "hint", scopes, is_live)),
        (
            gettext_lazy("Since when"),
            ("created_at", "made_by", "expires_at", "last_used_at", "stepped_up_at", "revoked_at", "revoked_by"),
        ),
    ]
    acts: ClassVar = [
        of_act(
            REVOKE_TOKEN,
            "revoke",
            label=gettext_lazy("Revoke the token"),
            done=gettext_lazy("The token is revoked."),
            explains=gettext_lazy(
                "The token stops working immediately and permanently. What was done with the token is not undone."
            ),
            offered=may_be_revoked,
            bulk=gettext_lazy("Revoke"),
        )
    ]

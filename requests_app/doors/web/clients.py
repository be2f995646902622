"""The pages of a tenant's clients: which machines call the API for the tenant, and what they can do."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import QueryDict
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.acts.callers import CHANGE_CLIENT, CREATE_CLIENT, MAKE_LASTING_TOKEN, REMOVE_CLIENT
from requests_app.domain.scopes import Scope
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import (
    Action,
    Column,
    Empty,
    Link,
    Page,
    Secret,
    Shown,
    Table,
    Text,
    Visit,
    as_part,
    strong,
    to,
)
from requests_app.doors.web.forms.callers import ClientChangeForm, ClientForm, LastingTokenForm
from requests_app.doors.web.tenant import administers
from requests_app.doors.web.tokens import LAST_USED, SCOPES, WHAT_CAN_BE_CALLED
from requests_app.models import Client
from requests_app.operations import Made
from requests_app.platform.addresses import absolute
from requests_app.queries import callers
from requests_app.queries import tenant as tenants
from requests_app.templatetags.lockbox import person, when
from requests_app.words.scopes import labels

_LIST = to("web:clients", "tenant")
_ONE = to("web:client", "tenant", "thing")
_PATH = "tenant/<uuid:tenant>/clients/"
_BACK = Link("{thing}", _ONE)
_MAY = Column(_("Allowed"), lambda row: labels(row.scopes), SCOPES)


def _find(visit: Visit, ids: dict[str, Any]) -> Client:
    """Return one of this tenant's clients. A client of another tenant, or of the provider, counts as missing."""
    return callers.client_of(visit.tenant, ids["client"], actor=visit.actor)


def _new(visit: Visit, data: QueryDict | None) -> ClientForm:
    return ClientForm(data, approvers=tenants.approvers(visit.tenant))


def _changed(visit: Visit, data: QueryDict | None) -> ClientChangeForm:
    return ClientChangeForm(data, client=visit.thing, approvers=tenants.approvers(visit.tenant))


def _create(visit: Visit, values: dict[str, Any]) -> Made:
    made = operations.create_client(
        tenant_id=visit.tenant.pk,
        name=values["name"],
        scopes=values["scopes"],
        decides_for_id=values["decides_for"],
        actor=visit.actor,
    )
    visit.thing = made.row
    return made


def _change(visit: Visit, values: dict[str, Any]) -> Client:
    scopes, decides_for = values["scopes"], values["decides_for"]
    return operations.change_client(visit.thing.pk, scopes=scopes, decides_for_id=decides_for, actor=visit.actor)


def _secret(visit: Visit, made: Made) -> Secret:
    return Secret(
        heading=_("The client’s secret"),
        value=made.secret,
        warning=_("This secret is shown now and never again."),
        text=_(
            "Give the secret to the machine, and store the secret where you store passwords. Anybody who has "
            "the secret can act as this client."
        ),
        shown=(
            Shown(made.secret, _("Secret (client_secret)")),
            Shown(made.row.pk, _("Id (client_id)")),
            Shown(
                absolute(reverse("api:token")),
                _("Address where the client gets its tokens (OAuth 2.0, grant client_credentials)"),
            ),
        ),
        back=_BACK,
    )


def _token(visit: Visit, made: Made) -> Secret:
    address = absolute(reverse("api:scim_users")).removesuffix("/Users")
    words = _("Enter the token in the directory. This token expires on {when}. Create the next token before that.")
    return Secret(
        heading=_("The directory’s token"),
        value=made.secret,
        warning=_("This token is shown now and never again."),
        text=format_html(str(words), when=visit.when(made.row.expires_at)),
        shown=(
            Shown(made.secret, _("Token (secret token, bearer token)")),
            Shown(address, _("Address of SCIM (tenant URL, base URL)")),
        ),
        back=_BACK,
    )


def _who(visit: Visit) -> Text:
    return _("The log records that you did this.")


def _what_becomes_of_tokens(visit: Visit) -> Text:
    if not callers.lasting_tokens(visit.thing, at=visit.at):
        return _("After you create the next token, this token still works for one week.")
    return strong(
        _(
            "The current token works for one more week, so that you can give the new token to the directory. "
            "Tokens that are older than the current token stop working immediately."
        )
    )


def _of_one(visit: Visit) -> dict[str, Any]:
    lasting = callers.lasting_tokens(visit.thing, at=visit.at)
    return {"client": visit.thing, "keeps_people": visit.thing.scopes == [Scope.MEMBERS_PROVISION], "lasting": lasting}


CLIENTS = Page(
    name="clients",
    path=_PATH,
    heading=_("API clients of {tenant}"),
    tab="clients",
    lead=(
        _(
            "An API client is a machine that calls the API for you, such as a ticket system or a SIEM. It can do "
            "only what its scopes allow. It never sees content. It can approve or deny access requests only if this "
            "page says so."
        ),
        WHAT_CAN_BE_CALLED,
    ),
    table=Table(
        caption=_("API clients"),
        rows=lambda visit: callers.clients(visit.actor, tenant_id=visit.tenant.pk),
        columns=(
            Column(_("Client"), lambda row: row, as_part("clients/_name.html", "client")),
            _MAY,
            Column(_("Decides for"), lambda row: row.decides_for, person, absent=_("nobody")),
            LAST_USED,
        ),
        empty=Empty(
            _("No machine calls the API for you yet"),
            _(
                "Add one client for each program. The log then shows each program by its own name, and you can "
                "remove each client separately."
            ),
            "key-round",
        ),
    ),
    action=Action(
        heading=_("Add an API client"),
        lead=_("The client’s secret is shown once, on the next page."),
        label=_("Add this client"),
        act=CREATE_CLIENT,
        form=_new,
        offered=lambda visit: administers(visit.actor, visit.tenant),
        run=_create,
        secret=_secret,
    ),
    template="clients/clients.html",
)

CLIENT = Page(
    name="client",
    path=f"{_PATH}<uuid:client>/",
    heading="{thing}",
    title=_("API client {thing}"),
    back=Link(_("API clients of {tenant}"), _LIST),
    is_for_administrators=True,
    find=_find,
    facts=(
        Column(_("The client’s id"), lambda row: row.pk, css="mono"),
        _MAY,
        Column(_("Added"), lambda row: row, as_part("clients/_added.html", "client")),
        Column(_("Secret since"), lambda row: row.secret_at, when),
        LAST_USED,
    ),
    links=(
        Link(_("Change…"), to("web:client_change", "tenant", "thing")),
        Link(_("New secret…"), to("web:client_rotate", "tenant", "thing"), "quiet"),
        Link(_("Remove…"), to("web:client_remove", "tenant", "thing"), "quiet"),
    ),
    template="clients/client.html",
    more=_of_one,
)

#: A page that changes one client.
_page = partial(Page, back=_BACK, is_for_administrators=True, is_narrow=True, find=_find)

CHANGE = _page(
    name="client_change",
    path=f"{_PATH}<uuid:client>/change/",
    heading=_("Change the API client"),
    title=_("Change the API client {thing}"),
    action=Action(
        lead=_(
            "If you remove a scope, the client can’t use that scope any more, even with a token that the client "
            "already has. If you add a scope, the client can use that scope with its next token."
        ),
        label=_("Save the changes"),
        cancel=_("Cancel"),
        act=CHANGE_CLIENT,
        form=_changed,
        run=_change,
        done=CHANGE_CLIENT.done,
        then=_ONE,
    ),
)

NEW_TOKEN = _page(
    name="client_token",
    path=f"{_PATH}<uuid:client>/token/",
    heading=_("Create a long-lived token?"),
    title=_("A long-lived token for {thing}"),
    action=Action(
        consequences=(
            _(
                "A long-lived token is for a directory that can only store one token. Such a directory can’t get "
                "its own tokens with an id and a secret. The token is shown once, on the next page."
            ),
            _("Anybody who has the token can add, change and switch off your people, and give them roles."),
            _what_becomes_of_tokens,
            _who,
        ),
        label=_("Create a long-lived token"),
        cancel=_("Cancel"),
        act=MAKE_LASTING_TOKEN,
        form=lambda visit, data: LastingTokenForm(data),
        run=lambda visit, values: operations.make_lasting_token(visit.thing.pk, **values, actor=visit.actor),
        secret=_token,
    ),
)

NEW_SECRET = _page(
    name="client_rotate",
    path=f"{_PATH}<uuid:client>/secret/",
    heading=_("Create a new secret?"),
    title=_("A new secret for {thing}"),
    action=Action(
        consequences=(
            _("The new secret is shown once, on the next page."),
            lambda visit: strong(
                _(
                    "The current secret and every token of this client stop working immediately. The machine can do "
                    "nothing until it has the new secret."
                )
            ),
            _who,
        ),
        label=_("Create a new secret"),
        cancel=_("Cancel"),
        run=lambda visit, values: operations.rotate_client_secret(visit.thing.pk, actor=visit.actor),
        secret=_secret,
    ),
)

REMOVAL = _page(
    name="client_remove",
    path=f"{_PATH}<uuid:client>/remove/",
    heading=_("Remove the API client {thing}?"),
    title=_("Remove the API client {thing}"),
    action=Action(
        consequences=(
            _("The client’s secret and tokens stop working immediately. Nobody can restore the client."),
            _("The log keeps the client’s name in the entries about what the client did."),
            _("The log records that you removed the client."),
        ),
        label=_("Remove this client"),
        cancel=_("Keep this client"),
        run=lambda visit, values: operations.remove_client(visit.thing.pk, actor=visit.actor),
        done=REMOVE_CLIENT.done,
        then=_LIST,
    ),
)

urlpatterns = addresses(CLIENTS, CLIENT, CHANGE, NEW_TOKEN, NEW_SECRET, REMOVAL)

"""The pages of personal tokens: a person's own tokens, and, for an administrator, the tokens of the tenant's people."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import (
    Action,
    Column,
    Empty,
    Link,
    Page,
    RowLink,
    Secret,
    Shown,
    Table,
    Text,
    Visit,
    as_part,
    to,
)
from requests_app.doors.web.forms.callers import TokenForm
from requests_app.models import Token
from requests_app.operations import Made
from requests_app.platform.addresses import absolute
from requests_app.queries import callers
from requests_app.templatetags.lockbox import person, when
from requests_app.words.scopes import labels

#: Shows the scopes of a client or a token.
SCOPES = as_part("clients/_scopes.html", "labels")
REVOKE = RowLink(
    label=_("Revoke…"),
    column=_("Revoke"),
    to=lambda row: reverse("web:token_revoke", args=[row.pk]),
)
_STATE = as_part("tokens/_state.html", "token")
_LIST = Link(_("API tokens"), to("web:tokens"))
WHAT_CAN_BE_CALLED = Link(_("What the API offers"), lambda visit: reverse("api:reader"))

_TOKEN = Column(_("Token"), lambda row: row, as_part("tokens/_name.html", "token"))
_OWNER = Column(_("Owner"), lambda row: row.account, person)
_SCOPES = Column(_("For"), lambda row: labels(row.scopes), SCOPES)
LAST_USED = Column(_("Last used"), lambda row: row.last_used_at, when, absent=_("never"))
_EXPIRES = Column(_("Expires"), lambda row: row, _STATE)
_CONFIRM = Column(_("Proof of identity"), lambda row: row, as_part("tokens/_confirm.html", "token"))
_ENDED = Column(_("Ended"), lambda row: row, _STATE)


def _form(visit: Visit, data: QueryDict | None) -> TokenForm:
    return TokenForm(data, offered=visit.actor.usable_scopes)


def _secret(visit: Visit, made: Made) -> Secret:
    command = f'curl -H "Authorization: Bearer $LOCKBOX_TOKEN" {absolute(reverse("api:me"))}'
    until = format_html(str(_("The token works until {when}.")), when=visit.when(made.row.expires_at))
    how = _("Store the token in the variable LOCKBOX_TOKEN. Then this command shows to whom the token belongs:")
    return Secret(
        heading=_("Your new token"),
        value=made.secret,
        warning=_("This token is shown now and never again."),
        text=_("Store the token where you store passwords. Anybody who has the token can call the API as you."),
        shown=(
            Shown(made.secret, made.row.name),
            Shown(command, text=format_html("{} {}", until, how)),
        ),
        back=_LIST,
    )


def _where_it_is_listed(visit: Visit) -> str:
    """Return the address of the list in which this person sees the token."""
    token, actor = visit.thing, visit.actor
    if token.account_id == actor.person_id:
        return reverse("web:tokens")
    if token.kind == Token.Kind.LASTING and token.account.client.tenant_id in actor.tenant_roles:
        return reverse("web:client", args=[token.account.client.tenant_id, token.account.client.pk])
    theirs = token.account.memberships.values_list("tenant_id", flat=True)
    administered = [pk for pk in theirs if Role.ADMINISTRATOR in actor.tenant_roles.get(pk, frozenset())]
    if administered:
        return reverse("web:tenant_tokens", args=[administered[0]])
    return reverse("admin:requests_app_token_changelist") if actor.is_staff else reverse("web:tokens")


def _name_of_list(visit: Visit) -> Text:
    return _("API tokens") if visit.thing.account_id == visit.actor.person_id else _("Tokens")


def _is_live(visit: Visit) -> bool:
    is_live: bool = visit.thing.is_live(visit.at)
    return is_live


TOKENS = Page(
    name="tokens",
    path="tokens/",
    heading=_("API tokens"),
    back=Link(_("Your settings"), to("web:preferences")),
    lead=(
        _(
            "With a token, a program of yours calls the API as you. The program can do something only if the "
            "token has the scope for it, and if you are allowed to do it at that moment. The program never sees "
            "content. To approve or deny with a token, you need your password and a code, as on the pages here."
        ),
        WHAT_CAN_BE_CALLED,
    ),
    table=Table(
        caption=_("Your tokens"),
        rows=lambda visit: callers.own_tokens(visit.actor, at=visit.at),
        columns=(_TOKEN, _SCOPES, LAST_USED, _EXPIRES, _CONFIRM),
        empty=Empty(
            _("You have no token"),
            _(
                "Create one token for each program. You then see when each token was last used, and can revoke "
                "a token without affecting the other tokens."
            ),
            "key-round",
        ),
        link=REVOKE,
    ),
    action=Action(
        heading=_("Create a token"),
        lead=_("The token is shown once, on the next page."),
        label=_("Create this token"),
        form=_form,
        run=lambda visit, values: operations.create_token(actor=visit.actor, **values),
        secret=_secret,
    ),
    also=Table(
        heading=_("Tokens that ended recently"),
        caption=_("Tokens that ended"),
        rows=lambda visit: callers.own_ended_tokens(visit.actor, at=visit.at),
        columns=(_TOKEN, _SCOPES, LAST_USED, _ENDED),
    ),
)


def _revoke(visit: Visit, values: dict[str, Any]) -> Token:
    return operations.revoke_token(visit.thing.pk, actor=visit.actor)


def _is_own_and_live(visit: Visit) -> bool:
    return visit.thing.account_id == visit.actor.person_id and _is_live(visit)


def _confirm(visit: Visit, values: dict[str, Any]) -> Token:
    return operations.confirm_token(visit.thing.pk, actor=visit.actor)


CONFIRMATION = Page(
    name="token_confirm",
    path="tokens/<uuid:token>/confirm/",
    heading=_("Confirm the token {thing}?"),
    title=_("Confirm the token {thing}"),
    back=_LIST,
    is_narrow=True,
    find=lambda visit, ids: callers.token(ids["token"], actor=visit.actor),
    facts=(Column(_("Ends with"), lambda row: row.hint, css="mono"), _SCOPES, LAST_USED),
    action=Action(
        consequences=(
            _(
                "For five minutes, the token can do what needs a proof of identity: approve, and add a key of your "
                "tenant’s own approval page."
            ),
            _("Use this if you have no password because you sign in with single sign-on."),
        ),
        label=_("Confirm this token"),
        cancel=_("Do not confirm"),
        offered=_is_own_and_live,
        run=_confirm,
        done=_("The token “{thing}” is confirmed for five minutes."),
        then=_where_it_is_listed,
    ),
)


REVOCATION = Page(
    name="token_revoke",
    path="tokens/<uuid:token>/revoke/",
    heading=_("Revoke the token {thing}?"),
    title=_("Revoke the token {thing}"),
    back=Link(_name_of_list, _where_it_is_listed),
    is_narrow=True,
    find=lambda visit, ids: callers.token(ids["token"], actor=visit.actor),
    facts=(
        _OWNER,
        Column(_("Ends with"), lambda row: row.hint, css="mono"),
        _SCOPES,
        LAST_USED,
        _EXPIRES,
    ),
    action=Action(
        consequences=(
            _("The token stops working immediately and permanently. What was done with the token stays done."),
            _("The log records that you revoked it."),
        ),
        label=_("Revoke this token"),
        cancel=_("Keep this token"),
        offered=_is_live,
        run=_revoke,
        done=_("The token “{thing}” is revoked."),
        then=_where_it_is_listed,
    ),
)


def _more_than_shown(visit: Visit) -> str:
    if not visit.thing.has_more:
        return ""
    return _("This list shows only the newest %(most)d tokens. The API lists all tokens.") % {"most": callers.SHOWN}


OF_TENANT = Page(
    name="tenant_tokens",
    path="tenant/<uuid:tenant>/tokens/",
    heading=_("Tokens of your people"),
    title=_("Tokens of the people of {tenant}"),
    back=Link(_("API clients of {tenant}"), to("web:clients", "tenant")),
    is_for_administrators=True,
    find=lambda visit, ids: callers.tokens_in(visit.tenant, at=visit.at),
    lead=_(
        "Each token belongs to a person. A token can’t do anything that its person is not allowed to do now. "
        "Revoke a token that was lost or is not needed."
    ),
    table=Table(
        caption=_("Valid tokens"),
        rows=lambda visit: visit.thing.rows,
        columns=(_TOKEN, _OWNER, _SCOPES, LAST_USED, _EXPIRES),
        empty=Empty(_("Nobody has a valid token"), icon="key-round"),
        hint=_more_than_shown,
        link=REVOKE,
    ),
)

urlpatterns = addresses(TOKENS, CONFIRMATION, REVOCATION, OF_TENANT)

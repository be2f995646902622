"""Classes to declare the pages about a tenant's things, such as mutes, tokens or webhooks.

`_thing_views` has the views of all these pages, and `templates/things` shows them. Words can contain the placeholders
`{tenant}`, `{thing}` and `{provider}`, which are replaced with names. Control characters in a name become visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.template import Context
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.declaration import Act
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Tenant
from requests_app.templatetags.lockbox import when
from requests_app.words.text import visible_single

Text = str | Promise


def filled(words: Text, **names: object) -> str:
    """Return the words with names in place of the placeholders."""
    return format_html(str(words), **{name: visible_single(value) for name, value in names.items()})


@dataclass(kw_only=True)
class Visit:
    """One request for a page: who, when, for which tenant, and about which row."""

    request: HttpRequest
    actor: Actor
    at: datetime
    #: None on the pages about the person's own things.
    of_tenant: Tenant | None = None
    thing: Any = None

    @property
    def tenant(self) -> Tenant:
        assert self.of_tenant is not None
        return self.of_tenant

    @property
    def roles(self) -> frozenset[Role]:
        """The person's roles in the tenant, without roles of the provider's people."""
        return self.actor.tenant_roles.get(self.tenant.pk, frozenset())

    def when(self, at: datetime) -> str:
        return when(Context({"now": self.at}), at)

    def says(self, words: Words) -> str:
        """Return the words as HTML, with names in place of the placeholders.

        Only declared words have placeholders. The result of a function can contain a name, so it is escaped, and
        its braces stay. Text that is already escaped does not change, and empty words stay empty.
        """
        if isinstance(words, Link):
            return format_html('<a href="{}">{}</a>', words.to(self), self.says(words.label))
        if callable(words):
            return conditional_escape(str(words(self)))
        if not words or isinstance(words, SafeString):
            return words or ""  # type: ignore[return-value]  # a lazy text is never empty
        return filled(words, tenant=self.of_tenant, thing=self.thing, provider=settings.PROVIDER_NAME)


Address = Callable[[Visit], str]


def to(name: str, *parts: str) -> Address:
    """Return a function that gives the address of a page for a visit.

    `parts` names the rows in it: "tenant", "thing".
    """
    return lambda visit: reverse(name, args=[getattr(visit, part).pk for part in parts])


@dataclass(frozen=True)
class Link:
    label: Words
    to: Address
    style: str = ""


Words = Text | Link | Callable[[Visit], Text]
Paragraphs = Words | tuple[Words, ...]
#: The message after an act. A function gets the result of the act.
Done = Text | Callable[[Visit, Any], str]


def strong(text: Text) -> str:
    return format_html("<strong>{}</strong>", text)


def always(visit: Visit, row: Any = None) -> bool:
    return True


# --- How values are shown ----------------------------------------------------------------------------------

Show = Callable[[Context, Any], str]


def as_text(context: Context, value: Any) -> str:
    return visible_single(str(value))


def as_part(template: str, name: str) -> Show:
    """Return a function that shows a value with a partial template. In the template, the value has this name."""

    def show(context: Context, value: Any) -> str:
        with context.push(**{name: value}):
            return context.template.engine.get_template(template).render(context)  # type: ignore[union-attr]  # is rendered

    return show


@dataclass(frozen=True)
class Column:
    """One fact about each row of a table, or about the row that a page shows."""

    label: Text
    value: Callable[[Any], Any]
    show: Show = as_text
    absent: Text = ""
    css: str = ""
    is_shown: Callable[[Visit, Any], bool] = always

    def html(self, context: Context, row: Any) -> str:
        value = self.value(row)
        return str(self.absent) if value is None else self.show(context, value)


@dataclass(frozen=True)
class Empty:
    """The text of an empty list: what the list will show, and how rows get there."""

    title: Text
    text: Text = ""
    icon: str = "circle-check"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A list. Each row can have one button, or one link to a page that asks for confirmation."""

    caption: Text
    columns: tuple[Column, ...]
    rows: Callable[[Visit], Iterable[Any]]
    empty: Empty | None = None
    heading: Text = ""
    hint: Words = ""
    button: Button | None = None
    link: RowLink | None = None


@dataclass(frozen=True, kw_only=True)
class RowLink:
    label: Text
    column: Text
    to: Callable[[Any], str]


# --- Acts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Button:
    """A button that acts immediately on a row. The button's form has one field: the row's id, or `value`.

    `offered` decides whether a person sees the button; the operation decides whether the act is allowed.
    """

    label: Text
    form: type[StrictForm]
    run: Callable[[Visit], Any]
    done: Done
    value: str = ""
    find: Callable[[Visit, Any], Any] | None = None
    offered: Callable[[Visit, Any], bool] = always
    #: The name of the row, for screen readers, and the heading of the button's column.
    describes: Callable[[Any], object] = str
    column: Text = ""
    style: str = "small"

    @property
    def field(self) -> str:
        return next(iter(self.form.base_fields))


def nothing_to_fill_in(visit: Visit, data: QueryDict | None) -> StrictForm:
    """Return the form of a page that only asks for confirmation."""
    return StrictForm(data)


@dataclass(frozen=True, kw_only=True)
class Action:
    """A form, its button and its operation.

    The answer is a message on the page `then`, or a page that shows a secret once. `offered` decides whether a
    person sees the form; the operation decides whether the act is allowed. A form with a mistake never reaches
    the operation. So with `act`, a person who can't do this act on the page's row or tenant is refused before
    the form is shown again.
    """

    label: Words
    run: Callable[[Visit, dict[str, Any]], Any]
    act: Act | None = None
    form: Callable[[Visit, QueryDict | None], StrictForm] = nothing_to_fill_in
    done: Done = ""
    then: Address | None = None
    secret: Callable[[Visit, Any], Secret] | None = None
    offered: Callable[[Visit], bool] = always
    heading: Text = ""
    #: Above the form: what the act is about, and what it means.
    lead: Paragraphs = ()
    consequences: tuple[Words, ...] = ()
    hint: Text = ""
    #: Text that replaces a form that can't be filled in.
    missing: Callable[[StrictForm], Text] = lambda form: ""
    #: The label of the link beside the button, which leads back without the act.
    cancel: Text = ""
    style: str = "primary"


@dataclass(frozen=True)
class Shown:
    """One part of a secret's page: a paragraph, and below it a value that people can copy."""

    value: object = ""
    label: object = ""
    text: Text = ""


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret that an act has made, and the page that shows it once. `value` is the secret itself."""

    heading: Words
    value: str
    warning: Words
    text: Words = ""
    shown: tuple[Shown, ...]
    facts: tuple[Column, ...] = ()
    back: Link
    title: Words = ""


# --- A page ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Page:
    """One address. GET shows the declared parts in the order of these fields. POST runs the action or a button."""

    name: str
    path: str
    heading: Words
    #: The title of the browser's window, if it differs from the heading.
    title: Words = ""
    #: The link back above the heading, or the name of the page's tab among a tenant's pages.
    back: Link | None = None
    tab: str = ""
    #: Only an administrator of the tenant can see the page.
    is_for_administrators: bool = False
    #: The page asks for a step-up before it is shown.
    proof_first: bool = False
    is_narrow: bool = False
    find: Callable[[Visit, dict[str, Any]], Any] | None = None
    lead: Paragraphs = ()
    facts: tuple[Column, ...] = ()
    table: Table | None = None
    links: tuple[Link, ...] = ()
    buttons: tuple[Button, ...] = ()
    action: Action | None = None
    #: A second list below the form.
    also: Table | None = None
    #: A template that extends things/page.html, and the further values that it needs.
    template: str = "things/page.html"
    more: Callable[[Visit], dict[str, Any]] = field(default=lambda visit: {})

    @property
    def all_buttons(self) -> tuple[Button, ...]:
        of_rows = (self.table.button,) if self.table and self.table.button else ()
        return (*self.buttons, *of_rows)

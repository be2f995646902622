"""The acts of staff. Each act is a form and one operation, outside any transaction of Django's admin.

Django's change form saves inside a transaction, but an operation is durable and refuses to run inside a transaction.
Also, a change form sets fields, while an operation decides. So the acts do not use Django's change forms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

import structlog
from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Act, Comment
from requests_app.domain.errors import ChangeProposed, DomainError, Malformed, SentAlready, StepUpRequired, Unacceptable
from requests_app.doors.choosing import ChoosesTheOnly
from requests_app.models import Person, Tenant
from requests_app.platform import time_zones

security_log = structlog.get_logger("security")

#: How many rows one request can handle. More rows would take longer than a request can last.
BULK_MAX = 100
#: The name of the button after which the form is shown again.
AGAIN = "again"
REFUSALS_SHOWN = 10
TENANTS_SUGGESTED = 200
_STORE_DOWN = 503

Words = str | Promise


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Fields that matter only if another field has one value.

    The browser shows them only then. Without its script, they are in a fold at the end of the form.
    """

    title: Words
    fields: tuple[str, ...]
    field: str
    value: str


class ActForm(ChoosesTheOnly):
    """The form of an act on one row. `reader` is the person who reads the form.

    It checks only whether the input is well formed; the operation decides whether the act is allowed.
    """

    fold: ClassVar[Fold | None] = None
    #: Whether the first empty field has the focus. It must not where people should read something about the row first.
    is_typed_at_once: ClassVar[bool] = False

    def __init__(self, *args: Any, row: Any = None, reader: Any = None, **kwargs: Any) -> None:
        self.row, self.reader = row, reader
        super().__init__(*args, **kwargs)
        self.prepare()
        if (self.row is None or self.is_typed_at_once) and not self.is_bound:
            self._focus()

    def _focus(self) -> None:
        """Give the focus to the first empty field that must be filled in. After a mistake, the mistakes have it."""
        shown = [field for field in self.visible_fields() if field.field.required]
        if (empty := next((field for field in shown if not field.value()), None)) is not None:
            empty.field.widget.attrs["autofocus"] = True

    def is_folded_open(self) -> bool:
        """Return whether the fields of the fold are shown from the start, because they have values or faults."""
        fold = self.fold
        return fold is not None and (
            str(self[fold.field].value() or "") == fold.value or any(self[name].errors for name in fold.fields)
        )

    def prepare(self) -> None:
        """Set the choices and initial values that depend on the row."""


AnyField = TypeVar("AnyField", bound=forms.Field)


def conditional(field: AnyField) -> AnyField:
    """Mark a field that must be empty or filled as another field says. So the page doesn't call it optional."""
    field.required, field.is_conditional = False, True  # type: ignore[attr-defined]  # components/_field.html reads it
    return field


class NoteForm(ActForm):
    note = forms.CharField(
        label=gettext_lazy("Comment"), widget=forms.Textarea, required=False, max_length=limits.COMMENT_MAX
    )


class NeededNoteForm(ActForm):
    note = forms.CharField(label=gettext_lazy("Comment"), widget=forms.Textarea, max_length=limits.COMMENT_MAX)


def _always(row: Any) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class AdminAction:
    """An act on a page. `run(row, actor, data)` calls the operation.

    If the result of `run` is a row of the same model, its page is shown next. `offered` decides whether the row's page
    has the button; the operation decides whether the act is allowed. An act with `bulk` can be done on several rows of
    a list, without a form. `bulk` is the label of its button there.
    """

    name: str
    label: Words
    run: Callable[[Any, Actor, dict[str, Any]], Any]
    done: Words
    form: type[ActForm] = ActForm
    explains: Words | Callable[[], Words] = ""
    offered: Callable[[Any], bool] = _always
    bulk: Words = ""
    #: The label of a second button, after which the same empty form is shown again.
    again: Words = ""
    #: Whether the button on the row's page does the act. Otherwise it leads to a page with the act's form.
    is_one_press: bool = False
    #: Says what was done with several rows, from the results: the words, and whether all is well.
    bulk_done: Callable[[list[Any]], tuple[str, bool]] | None = None


def of_act(act: Act, name: str, **more: Any) -> AdminAction:
    """Return the admin's action for a declared act. Its words, form and operation come from the declaration.

    `more` replaces these values, or adds others.
    """
    assert act.title is not None
    form = {Comment.NONE: ActForm, Comment.OPTIONAL: NoteForm, Comment.NEEDED: NeededNoteForm}[act.comment]

    def run(row: Any, actor: Actor, data: dict[str, Any]) -> Any:
        # An act on several rows has no form, so it has no comment.
        given = {"note": "", **data} if act.comment is not Comment.NONE else data
        return operations.of(act)(row.pk, actor=actor, **given)

    words = {"label": act.title, "explains": act.explains, "done": act.done}
    found: dict[str, Any] = {"name": name, "form": form, "run": run, **words, **more}
    return AdminAction(**found)


def actor_in(request: HttpRequest) -> Actor:
    """Return the actor of a signed-in request. ActorMiddleware has built it, with "admin" as its interface."""
    return cast(Actor, request.actor)  # type: ignore[attr-defined]  # set by ActorMiddleware


def perform(act: AdminAction, form: ActForm, request: HttpRequest) -> tuple[Any, int]:
    """Run the act with the form's data. Return (result, 0), or (None, status) after a refusal.

    The refusal becomes an error of the form.
    """
    try:
        _require_known_fields(form, request, {AGAIN} if act.again else set())
        if not form.is_valid():
            return None, 200
        return act.run(form.row, actor_in(request), form.cleaned_data), 0
    except DomainError as refusal:
        if refusal.status == _STORE_DOWN or isinstance(refusal, StepUpRequired | ChangeProposed):
            raise
        field = refusal.field if isinstance(refusal, Unacceptable) and refusal.field in form.fields else None
        form.is_valid()
        form.add_error(field, str(refusal.message))
        return None, refusal.status


def perform_on_all(act: AdminAction, rows: QuerySet, request: HttpRequest, *, name_of: Callable[[Any], str]) -> None:
    """Run the act on each chosen row, with a separate transaction for each row.

    Messages show the number of successes, and each refusal.
    """
    chosen = list(rows[: BULK_MAX + 1])
    if len(chosen) > BULK_MAX:
        messages.error(
            request, _("Choose at most %(most)d rows at the same time. Nothing was done.") % {"most": BULK_MAX}
        )
        return
    done = proposed = 0
    results: list[Any] = []
    refusals: list[str] = []
    for row in chosen:
        actor = actor_in(request)
        try:
            # One form starts many acts. If the form is sent again, the acts that were not yet done are done now.
            results.append(act.run(row, actor.sending(actor.once and actor.once.part(row.pk)), {}))
            done += 1
        except SentAlready:
            done += 1
        except ChangeProposed:
            proposed += 1
        except DomainError as refusal:
            if refusal.status == _STORE_DOWN or isinstance(refusal, StepUpRequired):
                raise
            refusals.append(f"{name_of(row)}: {refusal.message}")
    if results and act.bulk_done is not None:
        summary, is_well = act.bulk_done(results)
        (messages.success if is_well else messages.warning)(request, summary)
    elif done:
        words = ngettext("%(label)s: %(n)d done.", "%(label)s: %(n)d done.", done)
        messages.success(request, words % {"label": act.bulk, "n": done})
    if proposed:
        words = ngettext("%(label)s: %(n)d proposed.", "%(label)s: %(n)d proposed.", proposed)
        messages.success(request, words % {"label": act.bulk, "n": proposed})
    for line in refusals[:REFUSALS_SHOWN]:
        messages.error(request, line)
    left = len(refusals) - REFUSALS_SHOWN
    if left > 0:
        words = ngettext("%(n)d more was refused.", "%(n)d more were refused.", left)
        messages.error(request, words % {"n": left})


def _require_known_fields(form: ActForm, request: HttpRequest, extra: set[str]) -> None:
    """Refuse unknown fields, so that nobody believes that they were set."""
    known = {form.add_prefix(name) for name in form.fields} | {"csrfmiddlewaretoken"} | extra
    if unknown := sorted(set(request.POST) - known):
        security_log.warning("admin.unknown_fields", person=str(request.user.pk), fields=unknown[:10])
        raise Malformed(_("This cannot be set here: %(names)s.") % {"names": ", ".join(unknown[:10])})


# --- Fields ------------------------------------------------------------------------------------------------


class Suggesting(forms.TextInput):
    """A text field with suggestions from the browser. It needs no script, and accepts other values too."""

    def __init__(self, suggest: Callable[[], list[tuple[str, str]]]) -> None:
        super().__init__(attrs={"autocomplete": "off"})
        self.suggest = suggest

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        key = f"{(attrs or {}).get('id', name)}_suggestions"
        field = super().render(name, value, {**(attrs or {}), "list": key}, renderer)
        options = format_html_join("", '<option value="{}">{}</option>', self.suggest())
        return format_html('{}<datalist id="{}">{}</datalist>', field, key, options)


def _tenants() -> list[tuple[str, str]]:
    return list(Tenant.objects.order_by("name").values_list("slug", "name")[:TENANTS_SUGGESTED])


class TenantField(forms.CharField):
    """A field for a tenant's short name, with suggestions."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", gettext_lazy("Tenant"))
        kwargs.setdefault("help_text", gettext_lazy("The tenant's short name."))
        super().__init__(widget=Suggesting(_tenants), **kwargs)

    def clean(self, value: Any) -> Any:
        typed = super().clean(value)
        tenant = Tenant.objects.filter(slug=typed.lower()).first() if typed else None
        if typed and tenant is None:
            raise ValidationError(_("There is no tenant with this short name."))
        return tenant

    def only(self) -> str | None:
        slugs = Tenant.objects.values_list("slug", flat=True)[:2]
        return slugs[0] if len(slugs) == 1 else None


class ExternalIdField(forms.CharField):
    """A field for the id that a row has in the provider's own records."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", gettext_lazy("External id"))
        kwargs.setdefault("help_text", gettext_lazy("Its id in your own records. Imports and the API find it by this."))
        super().__init__(max_length=200, required=False, **kwargs)


class PersonField(forms.EmailField):
    """A field for the email address with which a person signs in."""

    def clean(self, value: Any) -> Any:
        typed = super().clean(value)
        person = Person.objects.filter(email=typed.lower()).first() if typed else None
        if typed and person is None:
            raise ValidationError(_("Nobody signs in with this address."))
        return person


class ZoneField(forms.CharField):
    """A field for a time zone, with suggestions. The name of a city is enough."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", gettext_lazy("Time zone"))
        super().__init__(widget=Suggesting(_zones), **kwargs)

    def clean(self, value: Any) -> Any:
        typed = super().clean(value)
        zone = time_zones.found(typed) if typed else ""
        if typed and not zone:
            raise ValidationError(_("There is no such time zone. Write it like Europe/Berlin."))
        return zone


def _zones() -> list[tuple[str, str]]:
    return [(name, name.replace("_", " ")) for name in time_zones.of_places()]

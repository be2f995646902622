"""The common part of all routes: authentication, quota, scope, and repeated calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import resolve, reverse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Once, Side
from requests_app.domain.acts.declaration import Act
from requests_app.domain.errors import NotFound, SecondFactorRequired
from requests_app.domain.scopes import Scope
from requests_app.doors.api import cors, idempotency, output, quota
from requests_app.doors.api.authentication import BearerAuthentication
from requests_app.doors.api.errors import NotTheSame, PreconditionRequired
from requests_app.doors.api.pages import PARAMETERS, Pages, require_known, wanted_fields
from requests_app.models import IdempotencyKey, Person, Token
from requests_app.models.people import actor_of_token
from requests_app.models.row_security import only_tenants
from requests_app.platform.secret_answers import is_secret
from requests_app.queries import callers
from requests_app.queries.merging import FirstPage, Parts, few, in_order, merged

#: The header of a caller who accepts every kind of answer.
_ANY = "*/*"
#: The type of an answer without further parameters.
JSON = JSONRenderer.media_type


class TooOften(exceptions.Throttled):
    default_detail = "Too many calls. Wait for the time in the Retry-After header."


class _Written(Response):
    """An answer whose JSON is written already."""

    def __init__(self, text: bytes, *, status: int, headers: dict[str, str]) -> None:
        HttpResponse.__init__(self, text, status=status, headers=headers)


class ApiView(APIView):
    """The base of all routes. `acts` names the acts that each method does, which all need the same scope.

    `scopes` names the scope of the other methods. A method without a scope needs only a working token. The scope is
    checked here, so that a caller gets the refusal early. The operation checks it again.
    """

    authentication_classes = (BearerAuthentication,)
    permission_classes = ()
    acts: ClassVar[dict[str, tuple[Act, ...]]] = {}
    scopes: ClassVar[dict[str, Scope]] = {}
    #: The acts that a method does instead of `acts` if the token also has their scope. Only the operation checks it.
    acts_with_more: ClassVar[dict[str, tuple[Act, ...]]] = {}
    #: The query parameters that the route accepts.
    parameters: ClassVar[frozenset[str]] = frozenset()
    #: Whether a POST changes something, so that the call can have an Idempotency-Key.
    changes: ClassVar[bool] = True
    #: Whether the route is about the provider's own rows. A token then needs the `provider_scope` of the acts.
    is_of_provider: ClassVar[bool] = False
    #: Whether this route does only the part of its act that never needs a second person.
    is_never_proposed: ClassVar[bool] = False
    #: The name of the route that reads the changed row. A POST answers in the same form as that route.
    shows: ClassVar[str] = ""
    quota_name: ClassVar[str] = "calls"
    #: Whether a customer's own approval page can call this route from a browser.
    for_approval_page: ClassVar[bool] = False

    token: Token
    actor: Actor
    _standing: quota.QuotaStatus | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Handle the call as the framework does, with two additions.

        For a customer, the database shows only rows of their tenants (row-level security). A repeated call is
        recognised before the handler runs.
        """
        if self.for_approval_page and (asked := cors.preflight(request, self._taken())) is not None:
            return asked
        self.args, self.kwargs = args, kwargs
        self.request = wrapped = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        claimed: idempotency.Claimed | None = None
        with ExitStack() as stack:
            try:
                self.initial(wrapped, *args, **kwargs)
                if self.actor.side is Side.CUSTOMER:
                    stack.enter_context(only_tenants(self.actor.tenant_ids))
                claim = self._claim(wrapped)
                if isinstance(claim, HttpResponse):
                    return self._finished(claim)
                if isinstance(claim, idempotency.DoneBefore):
                    response = self._as_it_is_now(claim)
                else:
                    if claim is not None:
                        claimed = claim
                        stack.callback(idempotency.release, claim.row)
                        self.actor = self.actor.sending(Once(claim=claim.row.claim))
                    handler = getattr(self, (wrapped.method or "").lower(), None) or self.http_method_not_allowed
                    response = handler(wrapped, *args, **kwargs)
            except Exception as error:
                response = self.handle_exception(error)
            self.response = self.finalize_response(wrapped, response, *args, **kwargs)
            if isinstance(self.response, Response):
                self.response.render()
            if claimed is not None:
                idempotency.keep(claimed.row, self.response)
        return self._finished(self.response)

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.auth is None:
            raise exceptions.NotAuthenticated
        self.token = cast(Token, request.auth)
        self.actor = self.actor_of(request, self.token)
        self.take(1)
        self._require_second_factor()
        if not hasattr(self, str(request.method).lower()):
            raise exceptions.MethodNotAllowed(str(request.method))
        if (scope := self.scope_of(self._method(request))) is not None:
            policy.require_scope(self.actor, scope)
            if self._method(request) not in self.acts:
                callers.require_answered_for(self.actor, scope)
        require_known(request.query_params, self.known_parameters())

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        """Return what the framework returns, but do not take apart the usual headers of programs."""
        first = self.renderer_classes[0]
        is_usual = self.content_negotiation_class is DefaultContentNegotiation
        if is_usual and request.META.get("HTTP_ACCEPT", _ANY) in (_ANY, first.media_type):
            return first(), first.media_type
        return super().perform_content_negotiation(request, force)

    @classmethod
    def scope_of(cls, method: str) -> Scope | None:
        """Return the scope that a token needs for this method."""
        acts = cls.acts.get(method)
        if not acts:
            return cls.scopes.get(method)
        return (cls.is_of_provider and acts[0].provider_scope) or acts[0].scope

    @classmethod
    def may_be_proposed(cls) -> bool:
        """Return whether a call can need a second person. It is then answered with 202 (`change_proposed`)."""
        return not cls.is_never_proposed and any(act.proposes for acts in cls.acts.values() for act in acts)

    def _require_second_factor(self) -> None:
        """Raise SecondFactorRequired if a person's role needs a second factor that they have not set up."""
        is_person = self.actor.machine is None
        if is_person and policy.needs_second_factor(self.actor) and not self.token.account.has_second_factor:
            raise SecondFactorRequired

    def actor_of(self, request: Any, token: Token, *, in_name_of: Person | None = None) -> Actor:
        return actor_of_token(
            token,
            in_name_of=in_name_of,
            request_id=getattr(request, "request_id", ""),
            ip=request.META.get("REMOTE_ADDR", ""),
        )

    def take(self, places: int) -> None:
        """Count this many calls against the caller's quota.

        If the quota is too small, count nothing and raise TooOften.
        """
        if places > 0:
            caller = (self.token.account_id, self.quota_name)
            standing = quota.CALLS.take(caller, self.quota_limit(), places=places)
            self._standing = replace(standing, name=self.quota_name)
            if standing.is_over:
                raise TooOften(wait=standing.reset)

    def quota_limit(self) -> int:
        return int(settings.API_CALLS_PER_MINUTE)

    def known_parameters(self) -> frozenset[str]:
        return self.parameters

    def body(self, serializer: type[Any], **context: Any) -> dict[str, Any]:
        """Return the body after validation by the serializer. Raise ValidationError with all errors of the body."""
        found = serializer(data=self.request.data, context=context)
        found.is_valid(raise_exception=True)
        return cast(dict[str, Any], found.validated_data)

    def filtered(self, filterset: type[Any], rows: Any) -> Any:
        """Return the filterset for the parameters of the query. Its `qs` has the rows that match.

        Raise ValidationError for a filter that is empty or invalid.
        """
        query = self.request.query_params
        # The library ignores an empty filter. A caller who meant to filter the list would then see everything.
        empty = [name for name in filterset.get_filters() if name in query and not query[name].strip()]
        if empty:
            raise exceptions.ValidationError({name: [_("This parameter is empty.")] for name in empty})
        filters = filterset(query, queryset=rows, request=self.request)
        if not filters.is_valid():
            raise exceptions.ValidationError(filters.errors)
        return filters

    def shown(
        self, serializer: type[Any], row: Any, *, status: int = 200, location: str = "", **context: Any
    ) -> Response:
        """Answer with one row and its ETag, or with 304 if the caller already has this version."""
        text = output.as_json(output.shown(serializer, row, actor=self.actor, **context))
        tag = etag(text)
        is_read = status == 200 and self.request.method in ("GET", "HEAD")
        if is_read and tag in _tags(self.request.META.get("HTTP_IF_NONE_MATCH", "")):
            return Response(status=304, headers={"ETag": tag})
        headers = {"ETag": tag, **({"Location": location} if location else {})}
        return self._answer(text, status=status, headers=headers)

    def require_match(self, serializer: type[Any], row: Any, **context: Any) -> None:
        """Raise an error unless `If-Match` has the row's present ETag (RFC 9110, section 13.1.1).

        So nobody decides on a version that they have not read.
        """
        wanted = self.request.META.get("HTTP_IF_MATCH", "").strip()
        if not wanted:
            raise PreconditionRequired
        data = output.shown(serializer, row, actor=self.actor, **context)
        # `*` is refused too, because it would decide on any version of the row.
        if etag(output.as_json(data)) not in _tags(wanted):
            raise NotTheSame

    def _answer(self, text: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Answer with this JSON as it is, unless the caller accepts only JSON of another form."""
        if self.request.accepted_media_type == JSON:
            return _Written(text, status=status, headers={"Content-Type": JSON, **(headers or {})})
        return Response(json.loads(text), status=status, headers=headers)

    def _claim(self, request: Any) -> idempotency.Claimed | idempotency.DoneBefore | HttpResponse | None:
        if request.method != "POST" or not self.changes:
            return None
        key = idempotency.key_of(request.META.get("HTTP_IDEMPOTENCY_KEY"))
        if key is None:
            return None
        plain = request._request
        asked = idempotency.digest(request.method, plain.get_full_path(), plain.body, actor=self.actor)
        return idempotency.claim(self.token.account, key, asked)

    def _as_it_is_now(self, done: idempotency.DoneBefore) -> Response:
        """Answer a repeated call, whose first answer was not stored, with the row as it is now.

        Raise AnswerGone if the caller can't read the row.
        """
        address = self.address_of_what(done.row)
        if not address:
            raise idempotency.gone(done.row)
        match = resolve(address)
        reading = match.func.view_class()  # type: ignore[attr-defined]  # of a route of the API
        reading.request, reading.actor, reading.token = self.request, self.actor, self.token
        try:
            response = cast(Response, reading.get(self.request, **match.kwargs))
        except NotFound as error:
            raise idempotency.gone(done.row) from error
        response["Idempotency-Replayed"] = "true"
        return response

    def address_of_what(self, done: IdempotencyKey) -> str:
        """Return the address of the row that the call changed, or "" if there is no such address."""
        if not self.shows:
            return ""
        # A POST to a list has made the row `subject_id`. In other calls, the address names the row.
        return reverse(f"api:{self.shows}", kwargs=self.kwargs or {"pk": done.subject_id})

    def _finished(self, response: HttpResponseBase) -> HttpResponseBase:
        if not is_secret(response):
            response["Cache-Control"] = "no-store"
        if self.for_approval_page:
            cors.allow(self.request, response, actor=getattr(self, "actor", None))
        if self._standing is not None:
            for name, value in self._standing.headers.items():
                response[name] = value
        return response

    def _taken(self) -> list[str]:
        return [name.upper() for name in ("get", "post", "patch", "put", "delete") if hasattr(self, name)]

    @staticmethod
    def _method(request: Any) -> str:
        return "GET" if request.method in ("HEAD", "OPTIONS") else str(request.method)


class ListView(ApiView):
    """The base of routes that list rows. `filterset_class` defines the filters, and `orders` the possible orders.

    The first order is the default. Pass only rows that the actor can see to `listed()`: it does not check this.
    """

    serializer_class: ClassVar[type[Any]]
    filterset_class: ClassVar[type[Any] | None] = None
    orders: ClassVar[tuple[str, ...]]
    #: Orders that no index has for all rows, and the parts of the rows for which an index has them.
    parts: ClassVar[Mapping[str, Parts]] = {}
    #: The query for the first page without filters, of a list that is read all the time.
    first_page: ClassVar[FirstPage | None] = None
    pagination_class = Pages

    def listed(self, rows: Any, **context: Any) -> Response:
        filters = self.filterset_class
        # Without a filter in the query, the form with all filters would be built to change nothing.
        is_filtered = filters is not None and not filters.get_filters().keys().isdisjoint(self.request.query_params)
        if filters is not None and is_filtered:
            rows = self.selected(self.filtered(filters, rows))
        serializer = self.serializer_class
        wanted = wanted_fields(self.request.query_params.get("fields"), serializer._declared_fields)
        pages = self.pagination_class()
        pages.ordering = self._order()
        states = self.stored_states()
        if (parts := self.parts_of_order()) is not None:
            rows = merged(rows, parts, actor=self.actor, states=states)
        else:
            rows = in_order(rows, actor=self.actor, states=states)
            if self.first_page is not None and not is_filtered:
                rows = self.first_page.of(rows, actor=self.actor)
        found = pages.paginate_queryset(rows, self.request, view=None)
        shown = self.items(found, only=wanted, actor=self.actor, **context)
        return self._answer(output.as_json(pages.page_of(shown)))

    def items(self, found: list[Any], *, only: frozenset[str] | None, **context: Any) -> list[Any]:
        """Return the items of a page, as the serializer writes them."""
        self.complete(found)
        return output.all_shown(self.serializer_class, found, only=only, **context)

    def parts_of_order(self) -> Parts | None:
        """Return the parts for the wanted order, if no index has it for all rows."""
        return self.parts.get(self._order()[0].lstrip("-"))

    def few(self, rows: Any) -> Any:
        """Return the keys of the rows in the wanted state if there are few, for a list whose order no index has."""
        states = self.stored_states()
        is_needed = states and self.parts_of_order() is None
        return few(rows.filter(state__in=sorted(states)), actor=self.actor) if is_needed else None

    def stored_states(self) -> Collection[str]:
        """Return the states in which the wanted rows can be stored, or nothing if the query names no state."""
        return ()

    def complete(self, found: list[Any]) -> None:
        """Read what belongs to the rows of a page, for all of them together."""

    def selected(self, found: Any) -> Any:
        """Return the rows that match the filters."""
        return found.qs

    def known_parameters(self) -> frozenset[str]:
        if self._method(self.request) != "GET":
            return frozenset()
        filters = self.filterset_class.get_filters() if self.filterset_class is not None else {}
        return PARAMETERS | self.parameters | frozenset(filters) | ({"order"} if len(self.orders) > 1 else set())

    def _order(self) -> tuple[str, ...]:
        order = self.request.query_params.get("order", self.orders[0])
        if order not in self.orders:
            raise exceptions.ValidationError({"order": [_("Choose one of these: ") + ", ".join(self.orders)]})
        return (order, "-pk" if order.startswith("-") else "pk")


def etag(text: bytes) -> str:
    """Return a strong ETag (RFC 9110, section 8.8.3): a hash of the answer."""
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def _tags(header: str) -> Iterable[str]:
    return {tag.strip() for tag in header.split(",")}

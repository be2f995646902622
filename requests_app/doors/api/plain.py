"""Builds routes from the declarations of acts: each route does one act on one row.

A caller sends the act's inputs with POST. The address is the row's address, followed by the act's word. For each kind
of row, a module defines a `Shape`, which says how a row is shown. The declarations say which acts exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from django.urls import URLPattern, path
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts import ACTS
from requests_app.domain.acts.declaration import Act, Comment, Field, Kind, Noun, Route
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.errors import in_words_of
from requests_app.doors.api.fields import CommentIn, NeededCommentIn, Strict, Text, Uuid, Whole, YesNo
from requests_app.doors.api.schema import extend_schema, one


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the rows of one kind are addressed and shown.

    `names` is the beginning of the operations' names in the OpenAPI document, and `urls` the beginning of the routes'
    names. `show` returns the answer with the row. It gets the view, the row's id and the result of the operation.
    `fields` maps an operation's inputs to the API's names.
    """

    noun: Noun
    address: str
    tag: str
    names: str
    out: type[serializers.Serializer]
    show: Callable[[ApiView, UUID, Any], Response]
    urls: str
    shows: str = ""
    comment: str = ""
    fields: Mapping[str, str] = field(default_factory=lambda: {"note": "comment"})

    def routes(self) -> list[URLPattern]:
        """Return one URL pattern for each act on this kind of row, if the act declares a route."""
        found = [(act, act.route) for act in ACTS.values() if act.noun is self.noun and act.route is not None]
        return [
            path(
                f"{self.address}/{route.word}",
                _view(act, route, self).as_view(),
                name=f"{self.urls}{route.word.replace('-', '_')}",
            )
            for act, route in found
        ]


def words_of(noun: Noun) -> dict[str, str]:
    """Return the last part of the address for each act on this kind of row. The act's name is the key."""
    return {act.name: act.route.word for act in ACTS.values() if act.noun is noun and act.route is not None}


def _view(act: Act, route: Route, shape: Shape) -> type[ApiView]:
    taken, words = _taken(act), {ours: name for name, ours in shape.fields.items()}

    class PlainAct(ApiView):
        acts: ClassVar = {"POST": (act,)}
        shows = shape.shows

        @extend_schema(
            operation_id=f"{shape.names}_{route.word.replace('-', '_')}",
            summary=route.summary,
            tags=[shape.tag],
            request=_documented(act, taken),
            responses=one(shape.out),
            examples=_examples(act, shape),
        )
        def post(self, request: Any, pk: UUID) -> Response:
            given = {words.get(name, name): value for name, value in self.body(taken).items()}
            with in_words_of(shape.fields):
                result = operations.of(act)(pk, actor=self.actor, **given)
            return shape.show(self, pk, result)

    PlainAct.post.__doc__ = route.explains
    PlainAct.__name__ = PlainAct.__qualname__ = _name(act)
    return PlainAct


def _taken(act: Act) -> type[Strict]:
    """Return the serializer of the body: the act's inputs, and the comment if the act takes one."""
    base = Strict if act.comment is Comment.NONE else CommentIn
    return type(f"{_name(act)}In", (base,), {each.name: _field(each) for each in act.inputs}) if act.inputs else base


def _documented(act: Act, taken: type[Strict]) -> type[Strict] | None:
    """Return the serializer that the OpenAPI document shows for the body, or None for an act without a body.

    In the document, a needed comment is required. The route itself accepts a missing comment, so that the operation
    refuses it with its own text.
    """
    if act.inputs:
        return taken
    return {Comment.NONE: None, Comment.OPTIONAL: CommentIn, Comment.NEEDED: NeededCommentIn}[act.comment]


def _name(act: Act) -> str:
    return "".join(part.capitalize() for part in act.name.split("_"))


def _field(each: Field) -> serializers.Field:
    common: dict[str, Any] = {"required": each.is_needed}
    match each.kind:
        case Kind.ID:
            return Uuid(**common)
        case Kind.NUMBER:
            return Whole(**common)
        case Kind.FLAG:
            return YesNo(**common)
        case Kind.CHOICE:
            return serializers.ChoiceField(choices=each.choices, **common)
        case Kind.INSTANT:
            return serializers.DateTimeField(**common)
        case Kind.LINE | Kind.NAME | Kind.TEXT | Kind.EMAIL:
            return Text(**common)


def _examples(act: Act, shape: Shape) -> list[OpenApiExample]:
    if act.inputs:
        return [
            OpenApiExample("An example", request_only=True, value={each.name: _example(each) for each in act.inputs})
        ]
    if act.comment is Comment.NONE:
        return []
    return [OpenApiExample("With a comment", request_only=True, value={"comment": shape.comment})]


def _example(each: Field) -> Any:
    """Return an example value for the document.

    A name in braces must be replaced with the id of one of the reader's rows.
    """
    match each.kind:
        case Kind.ID:
            return f"{{{min(each.roles, default=each.of)}}}"
        case Kind.NUMBER:
            return each.at_least
        case Kind.FLAG:
            return True
        case Kind.CHOICE:
            return each.choices[0]
        case Kind.INSTANT:
            return "{soon}"
        case Kind.EMAIL:
            return "grace@contoso.example"
        case Kind.LINE | Kind.NAME | Kind.TEXT:
            return "As agreed."

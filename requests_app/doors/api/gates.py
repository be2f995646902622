"""The proxies that ask at the gates of web tools."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.gates import ADD_PROXY
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import Strict, Text
from requests_app.doors.api.plain import Shape
from requests_app.doors.api.schema import extend_schema, one
from requests_app.doors.api.shapes import ServiceRef
from requests_app.queries import gates as queries

_TAGS = ["services"]


class ProxyOut(serializers.Serializer):
    """`fingerprint` is the beginning of the hash of its secret. `asked_at` is about when it last asked."""

    id = serializers.UUIDField()
    service = ServiceRef()
    name = serializers.CharField()
    fingerprint = serializers.CharField()
    added_at = serializers.DateTimeField()
    removed_at = serializers.DateTimeField(allow_null=True)
    asked_at = serializers.DateTimeField(allow_null=True)


class ProxyIn(Strict):
    """`secret_hash` is the SHA-256 hash of the proxy's secret, in hex. The secret itself is never sent."""

    name = Text()
    secret_hash = Text()


class Proxies(ListView):
    """The proxies of a web tool. Customers see none."""

    scopes: ClassVar = {"GET": Scope.PROVISION}
    acts: ClassVar = {"POST": (ADD_PROXY,)}
    shows = "proxy"
    serializer_class = ProxyOut
    orders = ("-added_at",)

    @extend_schema(
        operation_id="proxies_list",
        summary="List the proxies of a web tool",
        tags=_TAGS,
        responses=ProxyOut(many=True),
    )
    def get(self, request: Any, pk: UUID) -> Response:
        return self.listed(queries.proxies(pk, actor=self.actor))

    @extend_schema(
        operation_id="proxies_add",
        summary="Add a proxy of a web tool",
        tags=_TAGS,
        request=ProxyIn,
        responses={201: ProxyOut},
        examples=[
            OpenApiExample(
                "A second proxy",
                request_only=True,
                value={
                    "name": "Frankfurt",
                    "secret_hash": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                },
            )
        ],
    )
    def post(self, request: Any, pk: UUID) -> Response:
        """Only staff and the provider's clients can do this.

        The proxy is proposed, if any tenant has ever had Lockbox on.
        """
        row = operations.add_proxy(pk, **self.body(ProxyIn), actor=self.actor)
        return self.shown(ProxyOut, row, status=201)


class OneProxy(ApiView):
    scopes: ClassVar = {"GET": Scope.PROVISION}

    @extend_schema(
        operation_id="proxies_show", summary="Read one proxy of a web tool", tags=_TAGS, responses=one(ProxyOut)
    )
    def get(self, request: Any, pk: UUID) -> Response:
        return self.shown(ProxyOut, queries.proxy(pk, actor=self.actor))


ACTS = Shape(
    noun=Noun.PROXY,
    address="proxies/<uuid:pk>",
    tag="services",
    names="proxies",
    out=ProxyOut,
    show=lambda view, pk, row: view.shown(ProxyOut, row),
    urls="proxy_",
    shows="proxy",
)

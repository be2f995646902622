"""Parts that several answers share: a person, a tenant, a service, a resource."""

from __future__ import annotations

from rest_framework import serializers


class PersonRef(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()


class TenantRef(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()


class ServiceRef(serializers.Serializer):
    id = serializers.UUIDField()
    key = serializers.CharField()
    name = serializers.CharField()


class ResourceRef(serializers.Serializer):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    name = serializers.CharField()
    is_practice = serializers.BooleanField()


class TicketRef(serializers.Serializer):
    id = serializers.UUIDField()
    reference = serializers.CharField()
    external_reference = serializers.CharField()
    external_url = serializers.CharField()


class Problem(serializers.Serializer):
    """An error (RFC 9457). `code` never changes its meaning; `title` is for people."""

    type = serializers.URLField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    request_id = serializers.CharField()
    errors = serializers.ListField(child=serializers.DictField(child=serializers.CharField()), required=False)
    current = serializers.DictField(child=serializers.CharField(), required=False)

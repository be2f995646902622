"""Fields that accept only exact values, and serializers that refuse unknown members."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import django_filters
from django import forms
from django.utils.translation import gettext_lazy as _
from django_filters.fields import IsoDateTimeField
from rest_framework import serializers

from requests_app.domain.ids import IdField, as_id
from requests_app.domain.scopes import Scope, in_order


class Strict(serializers.Serializer):
    """A body. Unknown and read-only fields are refused, not ignored."""

    #: Whether no member is required but at least one must be there. The OpenAPI document needs this.
    needs_a_member = False

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = sorted(str(name) for name in data if name not in known)
            if unknown:
                raise serializers.ValidationError({name: [_("There is no such field.")] for name in unknown[:20]})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """Text. A number is refused. The operation checks the length, with its own error text."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class CommentIn(Strict):
    comment = Text(required=False, allow_blank=True, default="")


class NeededCommentIn(Strict):
    """The body of an act that is refused without a comment."""

    comment = Text()


class Whole(serializers.IntegerField):
    """A whole number. Text is refused, and so is `true`, which Python treats as 1."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class YesNo(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=str(data)[:40])
        return data


class Several(serializers.ListField):
    """A list. If the list is too long, its items are not checked.

    Each wrong item would take time, and add a line to the answer.
    """

    def to_internal_value(self, data: Any) -> Any:
        if self.max_length is not None and isinstance(data, list) and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class Scopes(Several):
    child = serializers.ChoiceField(choices=in_order(Scope))

    def __init__(self, **options: Any) -> None:
        super().__init__(min_length=1, max_length=len(Scope), **options)


class YesNoFilter(django_filters.TypedChoiceFilter):
    """A filter that accepts only `true` and `false`, in exactly this spelling."""

    def __init__(self, **options: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce=lambda value: value == "true", **options)


class WholeFilter(django_filters.Filter):
    """A filter by a number: only digits, and no more than a database column can hold.

    A sign, a space and `5.0` are refused.
    """

    most = 2**53

    class field_class(forms.IntegerField):
        def to_python(self, value: Any) -> int | None:
            if value not in self.empty_values and not re.fullmatch("[0-9]{1,16}", str(value)):
                raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
            return super().to_python(value)

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=self.most, **options)


class _Instant(IsoDateTimeField):
    def clean(self, value: Any) -> Any:
        found = super().clean(value)
        try:
            return found and found.astimezone(UTC)
        except OverflowError as error:  # with its time zone, the instant is outside the calendar
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from error


class InstantFilter(django_filters.IsoDateTimeFilter):
    """A filter by an instant with its time zone, in the years 1 to 9999."""

    field_class = _Instant


class Uuid(serializers.UUIDField):
    """A UUID in the usual spelling with hyphens, so that each row has only one spelling."""

    def to_internal_value(self, data: Any) -> Any:
        found = as_id(data)
        if found is None:
            self.fail("invalid", value=data)
        return found


class IdFilter(django_filters.UUIDFilter):
    """A filter by a UUID."""

    field_class = IdField

"""AuthZEN Authorization API 1.0: reads the questions of callers, and writes answers and errors.

Members that the standard does not define are ignored, as the standard requires. Members that it defines must have the
right type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from requests_app.domain import evaluation
from requests_app.domain.access_tasks import ApprovalReason, NextAction
from requests_app.domain.errors import Malformed
from requests_app.domain.evaluation import Question
from requests_app.doors.api import errors
from requests_app.doors.api.requestable import AccessRequestHint, ApprovalEcho
from requests_app.models import Grant

#: How many questions one call can have.
MOST = 100


class Semantic(StrEnum):
    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"

    def ends_with(self, decision: bool) -> bool:
        return self == (self.PERMIT_ON_FIRST_PERMIT if decision else self.DENY_ON_FIRST_DENY)


class Purpose(StrEnum):
    ADVICE = "advice"
    ACCESS = "access"


_PURPOSES = tuple(Purpose)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One question in the format of the standard, before anything in it is looked up in the database."""

    subject_type: str
    subject_id: str
    action: str
    resource_type: str
    resource_id: str
    subject: Mapping[str, Any] = field(default_factory=dict)
    action_properties: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


# --- Questions -----------------------------------------------------------------------------------------------

#: The members of a question, and the names that each member must have.
_NAMED = {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id")}
#: The names that a member of a question takes from the default member, if it does not have them itself. The names in
#: `context` are this product's: a question with its own `context.item` must not turn from access into advice.
_INHERITED = {**_NAMED, "context": ("purpose", "tenant")}
_TEXTS = {**_NAMED, "context": ("purpose", "tenant", "item")}


def evaluation_in(body: Any) -> Evaluation:
    """Read one question. Raise Malformed if a member is missing or has the wrong type."""
    parts = required(parts_in(body), _NAMED)
    subject, action, resource = parts["subject"], parts["action"], parts["resource"]
    return Evaluation(
        subject_type=subject["type"],
        subject_id=subject["id"],
        action=action["name"],
        resource_type=resource["type"],
        resource_id=resource["id"],
        subject=subject.get("properties", {}),
        action_properties=action.get("properties", {}),
        resource=resource.get("properties", {}),
        context=parts.get("context", {}),
    )


def question_of(asked: Evaluation) -> Question:
    """Return the question in the product's words. Raise Malformed if a text is too long or can't be stored."""
    return Question(
        subject_type=asked.subject_type,
        subject=asked.subject_id,
        action=asked.action,
        service=asked.resource_type,
        resource=asked.resource_id,
        tenant=asked.context.get("tenant", ""),
        item=asked.context.get("item", ""),
    )


@dataclass(frozen=True)
class Batch:
    questions: list[Evaluation | Malformed]
    semantic: Semantic


def batch_in(body: Any) -> Batch | None:
    """Return the questions of a call in their order, or None if the call has no list of questions.

    In place of a malformed question, the result contains the error.
    """
    defaults = parts_in(body)
    asked = body.get("evaluations", [])
    if not isinstance(asked, list) or not all(isinstance(each, dict) for each in asked):
        raise Malformed(_("%(member)s must be a list of objects.") % {"member": "evaluations"})
    if len(asked) > MOST:
        raise Malformed(_("One call can have at most %(max)d evaluations.") % {"max": MOST})
    semantic = _semantic(body.get("options", {}))
    return Batch([_one_of(each, defaults) for each in asked], semantic) if asked else None


def _one_of(asked: dict[str, Any], defaults: dict[str, Any]) -> Evaluation | Malformed:
    """Read one question from a list of questions. Return the error if the question is malformed.

    A member of the question replaces the default member of the same name. But if it lacks one of its names in
    `_INHERITED`, this name is taken from the default member.
    """
    try:
        parts = parts_in(asked)
        for part, names in _INHERITED.items():
            if part in parts:
                default = defaults.get(part, {})
                parts[part] = {**{name: default[name] for name in names if name in default}, **parts[part]}
        return evaluation_in({**defaults, **parts})
    except Malformed as fault:
        return fault


def _semantic(options: Any) -> Semantic:
    if not isinstance(options, dict):
        raise Malformed(_("%(member)s must be an object.") % {"member": "options"})
    wanted = options.get("evaluations_semantic", Semantic.EXECUTE_ALL)
    if not isinstance(wanted, str) or wanted not in list(Semantic):
        raise Malformed(_("evaluations_semantic must be one of these: ") + ", ".join(Semantic))
    return Semantic(wanted)


def required(parts: dict[str, dict[str, Any]], named: Mapping[str, Iterable[str]]) -> dict[str, dict[str, Any]]:
    """Return the members of a question. Raise Malformed unless each member in `named` is there, with its names."""
    for part, names in named.items():
        if part not in parts:
            raise Malformed(_("%(member)s is missing.") % {"member": part})
        for name in names:
            if name not in parts[part]:
                raise Malformed(_("%(member)s is missing.") % {"member": f"{part}.{name}"})
    return parts


def parts_in(body: Any) -> dict[str, dict[str, Any]]:
    """Return the members of a question.

    Raise Malformed if a member has the wrong type. A missing member is not an error here.
    """
    if not isinstance(body, dict):
        raise Malformed(_("The body must be an object."))
    found = {}
    for part in _TEXTS:
        if part in body:
            value = found[part] = body[part]
            if not isinstance(value, dict) or not isinstance(value.get("properties", {}), dict):
                raise Malformed(
                    _("%(member)s must be an object, and %(member)s.properties must also be an object.")
                    % {"member": part}
                )
            for name in _TEXTS[part]:
                if not isinstance(value.get(name, ""), str):
                    raise Malformed(_("%(member)s must be text.") % {"member": f"{part}.{name}"})
    # A caller that misspells `access` must not get advice only.
    if found.get("context", {}).get("purpose", Purpose.ADVICE) not in _PURPOSES:
        raise Malformed(_("context.purpose must be one of these: ") + ", ".join(Purpose))
    return found


# --- Answers -------------------------------------------------------------------------------------------------


class EvaluationFault(serializers.Serializer):
    status = serializers.IntegerField()
    message = serializers.CharField()


class EvaluationEnded(serializers.Serializer):
    """The last window that covered the resource. `closed_by` is a name; it is empty if the window closed as planned."""

    grant = serializers.UUIDField()
    closed_at = serializers.DateTimeField()
    close_reason = serializers.ChoiceField(choices=Grant.CloseReason.values)
    closed_by = serializers.CharField()


class EvaluationContext(serializers.Serializer):
    """`reason` is a code that never changes its meaning.

    A permission comes with `grant`, and is valid until `closes_at`. A denial comes with `ended` if a window for this
    resource was closed. `entry` is the number of the entry in the tenant's log, if the purpose was `access`. If a call
    has several questions and this question could not be read, only `error` is given.

    Only clients with the scope `requests:ask` get the other members. With `access_request`, the engineer can ask for
    the access. If a question with an approval is denied, `reason` says why the approval does not help, `next_action`
    what to do next, and `denied_because` has the usual reason.
    """

    reason = serializers.ChoiceField(choices=[*evaluation.REASONS, *ApprovalReason], required=False)
    at = serializers.DateTimeField(required=False)
    grant = serializers.UUIDField(required=False)
    closes_at = serializers.DateTimeField(required=False)
    ended = EvaluationEnded(required=False)
    entry = serializers.IntegerField(required=False)
    error = EvaluationFault(required=False)
    evaluation_id = serializers.UUIDField(required=False)
    evaluated_at = serializers.DateTimeField(required=False)
    access_request = AccessRequestHint(required=False)
    approval = ApprovalEcho(required=False)
    next_action = serializers.ChoiceField(choices=[*NextAction], required=False)
    denied_because = serializers.ChoiceField(choices=evaluation.REASONS, required=False)


class EvaluationOut(serializers.Serializer):
    decision = serializers.BooleanField()
    context = EvaluationContext()


class EvaluationsOut(serializers.Serializer):
    """`evaluations` has the answers in the order of the questions.

    A call without a list of questions gets one answer, in `decision` and `context`.
    """

    evaluations = EvaluationOut(many=True, required=False)
    decision = serializers.BooleanField(required=False)
    context = EvaluationContext(required=False)


def answer(verdict: evaluation.Verdict) -> dict[str, Any]:
    context: dict[str, Any] = {"reason": verdict.reason, "at": verdict.at}
    if verdict.decision:
        context |= {"grant": verdict.grant_id, "closes_at": verdict.closes_at}
    if (ended := verdict.ended) is not None:
        context["ended"] = {
            "grant": ended.grant_id,
            "closed_at": ended.closed_at,
            "close_reason": ended.close_reason,
            "closed_by": ended.closed_by,
        }
    if verdict.entry is not None:
        context["entry"] = verdict.entry
    return {"decision": verdict.decision, "context": context}


def fault(status: int, message: str) -> dict[str, Any]:
    """Return the answer to a question in a list of questions that was not judged. The others have their own answers."""
    return {"decision": False, "context": {"error": {"status": status, "message": message}}}


# --- Errors --------------------------------------------------------------------------------------------------


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an error as the rest of the API does. But a body that is not JSON gets 400, as in the standard."""
    if isinstance(error, exceptions.UnsupportedMediaType):
        error = Malformed(_("The body must be JSON, and be sent as application/json."))
    return errors.handle(error, context)


# --- In the document -----------------------------------------------------------------------------------------


def _object(words: str, required: tuple[str, ...], **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "description": words, "properties": members}
    return {**found, "required": list(required)} if required else found


_TEXT = {"type": "string"}
_PROPERTIES = {"type": "object", "description": "Accepted, but ignored."}
_CONTEXT = _object(
    "All other members are ignored.",
    (),
    purpose={
        "type": "string",
        "enum": list(Purpose),
        "default": Purpose.ADVICE,
        "description": "`access` writes the entry into the customer's log before the permission is given. Ask in this "
        "way before you open content. Only clients can use it; a person's token gets 403 `service_client_only`.",
    },
    tenant={
        **_TEXT,
        "description": "The tenant's id or short name; needed if a resource is named by its locator or name, "
        "or if resources of several tenants have its external id.",
    },
    item={**_TEXT, "description": "The item that is opened, in your own words. The log records this text."},
)


def _members(*, are_required: bool) -> dict[str, Any]:
    def needed(*names: str) -> tuple[str, ...]:
        return names if are_required else ()

    return {
        "subject": _object(
            "The engineer's id or email address. The type is engineer or user.",
            needed("type", "id"),
            type=_TEXT,
            id=_TEXT,
            properties=_PROPERTIES,
        ),
        "action": _object(
            "`list`, `view` (show), `read` (show, and give as a file), `download` (give as a file) or `act_as` "
            "(change).",
            needed("name"),
            name=_TEXT,
            properties=_PROPERTIES,
        ),
        "resource": _object(
            "The type is the key of the service; the id is the resource's id or external id, or its locator or name in "
            "the tenant.",
            needed("type", "id"),
            type=_TEXT,
            id=_TEXT,
            properties=_PROPERTIES,
        ),
        "context": _CONTEXT,
    }


EVALUATION = _object("", tuple(_NAMED), **_members(are_required=True))
EVALUATIONS = _object(
    "",
    (),
    **_members(are_required=False),
    evaluations={
        "type": "array",
        "maxItems": MOST,
        "items": {"type": "object"},
        "description": "The questions. The other members of the body are defaults for each question. A question "
        "that can't be read gets a denial.",
    },
    options=_object("", (), evaluations_semantic={"type": "string", "enum": list(Semantic)}),
)


def searching(needed: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return the schema of a search that needs these members. What it is for has no id or name."""
    members = _members(are_required=False)
    for part, names in needed.items():
        members[part] = {**members[part], "required": list(names)}
        members[part]["properties"] = {
            name: shape for name, shape in members[part]["properties"].items() if name in (*names, "properties")
        }
    context = {name: shape for name, shape in _CONTEXT["properties"].items() if name == "tenant"}
    return _object(
        "",
        tuple(needed),
        **{part: members[part] for part in needed},
        context=_object("All other members are ignored.", (), **context),
        page=_object(
            "",
            (),
            limit={"type": "integer", "minimum": 1, "description": "The most results that you want. At most 100."},
            token={**_TEXT, "description": "The `next_token` of the page before, with the same question."},
        ),
    )

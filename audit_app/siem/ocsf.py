"""The log as events of the Open Cybersecurity Schema Framework: https://schema.ocsf.io/1.8.0/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from audit_app.meanings import OTHER, Family, Meaning, Severity
from audit_app.models import AuditEntry
from audit_app.said import Said, read
from audit_app.siem.events import meaning_of, title_of
from audit_app.siem.source import PRODUCT, Source

VERSION = "1.8.0"
#: The pattern of the schema's type email_t, with the end of the text as its end.
_EMAIL = re.compile(r"[a-zA-Z0-9!#$%&'*+-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+")
#: `type_id` of managed_entity; every other kind of thing is of the schema's "Other".
_ENTITY_TYPES = {"person": 2, "tenant": 4}
_KINDS_OF_USER = {"person": (1, "User"), "system": (3, "System"), "client": (4, "Service")}


def lines(entries: Iterable[AuditEntry], source: Source) -> Iterator[str]:
    """One event a line, with the hashed record itself in `raw_data`: a line can be checked against a checkpoint."""
    requesters = _Requesters(source)
    for entry in entries:
        said = read(entry, source.places)
        yield json.dumps(event(said, source, requesters), ensure_ascii=True, separators=(",", ":")) + "\n"


def event(said: Said, source: Source, requesters: _Requesters) -> dict[str, Any]:
    meaning = meaning_of(said.event, said.told("action"))
    family = meaning.family
    severity = meaning.severity if said.is_intact else Severity.HIGH
    found: dict[str, Any] = {
        "class_uid": family.uid,
        "class_name": family.caption,
        "category_uid": family.category,
        "category_name": family.category_caption,
        "activity_id": meaning.activity,
        "activity_name": meaning.activity_name,
        "type_uid": family.uid * 100 + meaning.activity,
        "type_name": f"{family.caption}: {meaning.activity_name}",
        "severity_id": severity.value,
        "severity": severity.name.capitalize(),
        "status_id": 2 if meaning.has_failed else 1,
        "status": "Failure" if meaning.has_failed else "Success",
        "time": said.at_ms,
        "message": title_of(said.event),
        "metadata": _metadata(said, meaning, source),
        "unmapped": _unmapped(said),
        **_of_family(said, meaning, requesters),
    }
    if meaning.action is not None:
        found |= {"action_id": meaning.action.value, "action": meaning.action.name.capitalize()}
    if code := said.told("code"):
        found["status_code"] = code
    if said.raw:
        # Of the leaf, so over a zero byte and the record: no algorithm that the schema has a number for.
        leaf = {"algorithm_id": OTHER, "algorithm": "RFC 6962 leaf, SHA-256", "value": said.leaf_hash}
        found |= {"raw_data": said.raw, "raw_data_size": len(said.raw.encode()), "raw_data_hash": leaf}
    return found


def _metadata(said: Said, meaning: Meaning, source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {
        "version": VERSION,
        "product": {"name": PRODUCT, "vendor_name": source.vendor, "version": source.version},
        "uid": said.guid,
        "event_code": said.event,
        "sequence": said.seq,
        "tenant_uid": str(said.tenant),
        "log_name": said.place.origin,
        "log_provider": PRODUCT,
        "logged_time": said.at_ms,
        "original_time": said.at.isoformat(),
    }
    if meaning.action is not None:
        found["profiles"] = ["security_control"]
    if said.access_request:
        found["correlation_uid"] = said.access_request
    return found


def _unmapped(said: Said) -> dict[str, Any]:
    return {
        "index": said.place.index,
        "seq": said.seq,
        "origin": said.place.origin,
        "leaf_hash": said.leaf_hash,
        "is_intact": said.is_intact,
        "event": said.event,
        "door": said.door,
        "subject": {"type": said.subject_type, "id": said.subject_id},
        "actor": said.actor | ({"for": said.whose} if said.whose else {}),
        "detail": said.detail,
        **({"signature": said.signature.told} if said.signature else {}),
        **({"deputy_for": said.deputy_for} if said.deputy_for else {}),
    }


def _of_family(said: Said, meaning: Meaning, requesters: _Requesters) -> dict[str, Any]:
    """What the class of the event asks for, beside what every event has."""
    actor = {"user": _actor(said), **_application(said)}
    match meaning.family:
        case Family.LOG:
            return {"actor": actor, "log_name": said.place.origin, "log_provider": PRODUCT}
        case Family.ACCOUNT:
            return {"actor": actor, "user": _told_person(said) or {"uid": said.subject_id or "unknown"}}
        case Family.ENTITY:
            comment = said.told("comment")
            opened = _opened(said, requesters) if meaning.is_decision else {}
            return {"actor": actor, "entity": _entity(said), **({"comment": comment} if comment else {}), **opened}
        case Family.USER_ACCESS:
            return {"actor": actor, **_access(said, requesters)}
        case Family.API:
            return {"actor": actor, "src_endpoint": _door(said), **_call(said)}
        case Family.DATASTORE:
            return {"actor": actor, "src_endpoint": _door(said), **_content(said)}
    return {}


def _application(said: Said) -> dict[str, Any]:
    """The client that acted, where it did so in a human's name: the user is that human then."""
    client = said.through
    return {"app_name": client["name"] or "unknown", "app_uid": client["id"] or "unknown"} if client else {}


def _actor(said: Said) -> dict[str, Any]:
    who = said.who
    type_id, type_name = _KINDS_OF_USER.get(who["kind"], (0, "Unknown"))
    found = _user(uid=who["id"], name=who["name"], email=who["email"])
    if who["side"]:
        found["domain"] = who["side"]
    return found | {"type_id": type_id, "type": type_name}


def _user(*, uid: str, name: str, email: str) -> dict[str, Any]:
    found = {"uid": uid, "name": name, "email_addr": email if _EMAIL.fullmatch(email) else ""}
    return {key: value for key, value in found.items() if value} or {"name": "unknown"}


def _told_person(said: Said) -> dict[str, Any]:
    """The person whom an act is about, if its detail names one."""
    uid, name, email = (said.told(part) for part in ("person", "name", "email"))
    return _user(uid=uid, name=name, email=email) if uid or name else {}


def _entity(said: Said) -> dict[str, Any]:
    words = said.subject_type.replace("_", " ").title() or "Unknown"
    found: dict[str, Any] = {"type_id": _ENTITY_TYPES.get(said.subject_type, OTHER), "type": words}
    found["uid"] = said.subject_id or said.guid
    if reference := said.told("reference") or said.told("name"):
        found["name"] = reference
    return found


def _opened(said: Said, requesters: _Requesters) -> dict[str, Any]:
    """The window that this decision opened, if it did, and whose it is: the log has one entry for both."""
    grant = said.told("grant")
    if not grant:
        return {}
    found: dict[str, Any] = {"uid": grant, "type_id": OTHER, "type": "Grant"}
    found["data"] = {name: said.told(name) for name in ("opens_at", "closes_at")}
    if user := requesters.find(said.access_request):
        found["user"] = user
    return {"entity_result": found}


def _access(said: Said, requesters: _Requesters) -> dict[str, Any]:
    """Whose privilege it is. A window belongs to whoever asked for it, whoever closes it."""
    if role := said.told("role"):
        return {"privileges": [role], "user": _told_person(said) or {"name": "unknown"}}
    grant = said.told("grant")
    resources = [{"uid": grant, "type": "Grant", "name": said.told("reference") or grant}] if grant else []
    user = requesters.find(said.access_request) or {"name": "unknown", "type_id": 0, "type": "Unknown"}
    return {"privileges": ["content access"], "user": user, **({"resources": resources} if resources else {})}


def _call(said: Said) -> dict[str, Any]:
    operation = said.told("action") or said.event
    api: dict[str, Any] = {"operation": operation, "service": {"name": PRODUCT}}
    if code := said.told("code"):
        api["response"] = {"error": code}
    subject = {"uid": said.subject_id or said.guid, "type": said.subject_type}
    return {"api": api, "resources": [subject]}


def _content(said: Said) -> dict[str, Any]:
    """The resource is the databucket, the item looked at is the file in it."""
    name = said.told("resource_name") or said.told("resource") or said.subject_id or "unknown"
    bucket: dict[str, Any] = {"name": name, "type_id": OTHER, "type": "Customer content"}
    if uid := said.told("resource"):
        bucket["uid"] = uid
    if item := said.told("reference") or said.told("item"):
        bucket["file"] = {"name": item, "uid": said.told("item") or item, "type_id": 1, "type": "Regular File"}
    items = said.detail.get("items")
    count = {"count": len(items)} if isinstance(items, list) else {}
    return {"databucket": bucket, "type_id": 2, "type": "Databucket", **count}


def _door(said: Said) -> dict[str, Any]:
    """The log keeps no network address of anybody: what it knows of where an act came from is the door."""
    return {"name": said.door or "unknown", "svc_name": PRODUCT}


class _Requesters:
    """Who raised which access request, from the log itself; the last few are kept."""

    KEPT = 1000

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[str, dict[str, Any]] = {}

    def find(self, access_request: str) -> dict[str, Any] | None:
        if not access_request:
            return None
        if access_request not in self._found:
            if len(self._found) >= self.KEPT:
                self._found.clear()
            self._found[access_request] = self._look(access_request)
        return self._found[access_request] or None

    def _look(self, access_request: str) -> dict[str, Any]:
        rows = AuditEntry.objects.filter(tenant_id=self._source.tenant_id, event="access_request.submitted")
        try:
            entry = rows.filter(correlation_id=access_request).order_by("seq").first()
        except ValueError:
            return {}
        return _actor(read(entry, self._source.places)) if entry else {}

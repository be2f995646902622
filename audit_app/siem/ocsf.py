"""Writes the log as events of the Open Cybersecurity Schema Framework: https://schema.ocsf.io/1.8.0/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from audit_app.exported_entries import ExportedEntry, read
from audit_app.meanings import OTHER, Family, Meaning, Severity
from audit_app.models import AuditEntry
from audit_app.siem.events import meaning_of, title_of
from audit_app.siem.source import PRODUCT, Source

VERSION = "1.8.0"
#: The pattern of the schema's type email_t, for the whole text.
_EMAIL = re.compile(r"[a-zA-Z0-9!#$%&'*+-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+")
#: The `type_id` of managed_entity. All other subjects have the schema's "Other".
_ENTITY_TYPES = {"person": 2, "tenant": 4}
_KINDS_OF_USER = {"person": (1, "User"), "system": (3, "System"), "client": (4, "Service")}


def lines(entries: Iterable[AuditEntry], source: Source) -> Iterator[str]:
    """Yield one event for each entry, each on one line.

    `raw_data` has the record that is hashed, so that readers can check a line against a checkpoint.
    """
    requesters = _Requesters(source)
    for row in entries:
        entry = read(row, source.shards)
        yield json.dumps(event(entry, source, requesters), ensure_ascii=True, separators=(",", ":")) + "\n"


def event(entry: ExportedEntry, source: Source, requesters: _Requesters) -> dict[str, Any]:
    meaning = meaning_of(entry.event, entry.detail_text("action"))
    family = meaning.family
    severity = meaning.severity if entry.is_intact else Severity.HIGH
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
        "time": entry.at_ms,
        "message": title_of(entry.event),
        "metadata": _metadata(entry, meaning, source),
        "unmapped": _unmapped(entry),
        **_of_family(entry, meaning, requesters),
    }
    if meaning.action is not None:
        found |= {"action_id": meaning.action.value, "action": meaning.action.name.capitalize()}
    if code := entry.detail_text("code"):
        found["status_code"] = code
    if entry.raw:
        # The leaf hash covers a zero byte and the record. So the schema has no number for its algorithm.
        leaf = {"algorithm_id": OTHER, "algorithm": "RFC 6962 leaf, SHA-256", "value": entry.leaf_hash}
        found |= {"raw_data": entry.raw, "raw_data_size": len(entry.raw.encode()), "raw_data_hash": leaf}
    return found


def _metadata(entry: ExportedEntry, meaning: Meaning, source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {
        "version": VERSION,
        "product": {"name": PRODUCT, "vendor_name": source.vendor, "version": source.version},
        "uid": entry.guid,
        "event_code": entry.event,
        "sequence": entry.seq,
        "tenant_uid": str(entry.tenant),
        "log_name": entry.position.origin,
        "log_provider": PRODUCT,
        "logged_time": entry.at_ms,
        "original_time": entry.at.isoformat(),
    }
    if meaning.action is not None:
        found["profiles"] = ["security_control"]
    if entry.is_practice:
        found["labels"] = ["practice"]
    if entry.access_request:
        found["correlation_uid"] = entry.access_request
    return found


def _unmapped(entry: ExportedEntry) -> dict[str, Any]:
    return {
        "index": entry.position.index,
        "seq": entry.seq,
        "origin": entry.position.origin,
        "leaf_hash": entry.leaf_hash,
        "is_intact": entry.is_intact,
        "event": entry.event,
        "door": entry.door,
        "subject": {"type": entry.subject_type, "id": entry.subject_id},
        "actor": entry.actor | ({"for": entry.in_name_of} if entry.in_name_of else {}),
        "detail": entry.detail,
        **({"signature": entry.signature.as_json} if entry.signature else {}),
        **({"deputy_for": entry.deputy_for} if entry.deputy_for else {}),
    }


def _of_family(entry: ExportedEntry, meaning: Meaning, requesters: _Requesters) -> dict[str, Any]:
    """Return the fields that only this event's class requires."""
    actor = {"user": _actor(entry), **_application(entry)}
    match meaning.family:
        case Family.LOG:
            return {"actor": actor, "log_name": entry.position.origin, "log_provider": PRODUCT}
        case Family.ACCOUNT:
            return {"actor": actor, "user": _affected_person(entry) or {"uid": entry.subject_id or "unknown"}}
        case Family.ENTITY:
            comment = entry.detail_text("comment")
            opened = _opened(entry, requesters) if meaning.is_decision else {}
            return {"actor": actor, "entity": _entity(entry), **({"comment": comment} if comment else {}), **opened}
        case Family.USER_ACCESS:
            return {"actor": actor, **_access(entry, requesters)}
        case Family.API:
            return {"actor": actor, "src_endpoint": _door(entry), **_call(entry)}
        case Family.DATASTORE:
            return {"actor": actor, "src_endpoint": _door(entry), **_content(entry)}
    return {}


def _application(entry: ExportedEntry) -> dict[str, Any]:
    """Return the client that acted in a human's name, as an application. The event's `user` is this human."""
    client = entry.through
    return {"app_name": client["name"] or "unknown", "app_uid": client["id"] or "unknown"} if client else {}


def _actor(entry: ExportedEntry) -> dict[str, Any]:
    who = entry.who
    type_id, type_name = _KINDS_OF_USER.get(who["kind"], (0, "Unknown"))
    found = _user(uid=who["id"], name=who["name"], email=who["email"])
    if who["side"]:
        found["domain"] = who["side"]
    return found | {"type_id": type_id, "type": type_name}


def _user(*, uid: str, name: str, email: str) -> dict[str, Any]:
    found = {"uid": uid, "name": name, "email_addr": email if _EMAIL.fullmatch(email) else ""}
    return {key: value for key, value in found.items() if value} or {"name": "unknown"}


def _affected_person(entry: ExportedEntry) -> dict[str, Any]:
    """Return the person whom the act affects, if the entry's detail names one."""
    uid, name, email = (entry.detail_text(part) for part in ("person", "name", "email"))
    return _user(uid=uid, name=name, email=email) if uid or name else {}


def _entity(entry: ExportedEntry) -> dict[str, Any]:
    words = entry.subject_type.replace("_", " ").title() or "Unknown"
    found: dict[str, Any] = {"type_id": _ENTITY_TYPES.get(entry.subject_type, OTHER), "type": words}
    found["uid"] = entry.subject_id or entry.guid
    if reference := entry.detail_text("reference") or entry.detail_text("name"):
        found["name"] = reference
    return found


def _opened(entry: ExportedEntry, requesters: _Requesters) -> dict[str, Any]:
    """Return the window that a decision opened, with its engineer. Return nothing if it opened none.

    The log records the decision and its window in one entry.
    """
    grant = entry.detail_text("grant")
    if not grant:
        return {}
    found: dict[str, Any] = {"uid": grant, "type_id": OTHER, "type": "Grant"}
    found["data"] = {name: entry.detail_text(name) for name in ("opens_at", "closes_at")}
    if user := requesters.find(entry.access_request):
        found["user"] = user
    return {"entity_result": found}


def _access(entry: ExportedEntry, requesters: _Requesters) -> dict[str, Any]:
    """Return the privilege that was given or taken away, and who has it.

    The privilege of a window belongs to the engineer who asked for it, even if another person closes the window.
    """
    if role := entry.detail_text("role"):
        return {"privileges": [role], "user": _affected_person(entry) or {"name": "unknown"}}
    grant = entry.detail_text("grant")
    resources = [{"uid": grant, "type": "Grant", "name": entry.detail_text("reference") or grant}] if grant else []
    user = requesters.find(entry.access_request) or {"name": "unknown", "type_id": 0, "type": "Unknown"}
    return {"privileges": ["content access"], "user": user, **({"resources": resources} if resources else {})}


def _call(entry: ExportedEntry) -> dict[str, Any]:
    operation = entry.detail_text("action") or entry.event
    api: dict[str, Any] = {"operation": operation, "service": {"name": PRODUCT}}
    if code := entry.detail_text("code"):
        api["response"] = {"error": code}
    subject = {"uid": entry.subject_id or entry.guid, "type": entry.subject_type}
    return {"api": api, "resources": [subject]}


def _content(entry: ExportedEntry) -> dict[str, Any]:
    """Return the resource as the event's data bucket, and the accessed item as a file in it."""
    name = entry.detail_text("resource_name") or entry.detail_text("resource") or entry.subject_id or "unknown"
    bucket: dict[str, Any] = {"name": name, "type_id": OTHER, "type": "Customer content"}
    if uid := entry.detail_text("resource"):
        bucket["uid"] = uid
    if item := entry.detail_text("reference") or entry.detail_text("item"):
        bucket["file"] = {"name": item, "uid": entry.detail_text("item") or item, "type_id": 1, "type": "Regular File"}
    items = entry.detail.get("items")
    count = {"count": len(items)} if isinstance(items, list) else {}
    return {"databucket": bucket, "type_id": 2, "type": "Databucket", **count}


def _door(entry: ExportedEntry) -> dict[str, Any]:
    """Return the name of the interface as the endpoint.

    The log records no network address that could be used instead.
    """
    return {"name": entry.door or "unknown", "svc_name": PRODUCT}


class _Requesters:
    """Finds in the log who submitted an access request, and caches the last results."""

    MOST = 1000

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[str, dict[str, Any]] = {}

    def find(self, access_request: str) -> dict[str, Any] | None:
        if not access_request:
            return None
        if access_request not in self._found:
            if len(self._found) >= self.MOST:
                self._found.clear()
            self._found[access_request] = self._look(access_request)
        return self._found[access_request] or None

    def _look(self, access_request: str) -> dict[str, Any]:
        rows = AuditEntry.objects.filter(tenant_id=self._source.tenant_id, event="access_request.submitted")
        try:
            entry = rows.filter(correlation_id=access_request).order_by("seq").first()
        except ValueError:
            return {}
        return _actor(read(entry, self._source.shards)) if entry else {}

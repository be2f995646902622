"""Writes the log in the Common Event Format: "Implementing ArcSight Common Event Format (CEF)", version 0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from audit_app.exported_entries import ExportedEntry, read
from audit_app.meanings import Severity
from audit_app.models import AuditEntry
from audit_app.siem.events import meaning_of, title_of
from audit_app.siem.source import PRODUCT, Source

#: The fields with a limited length in the format's dictionary. The detail has its own field without a limit.
LIMITS = {"act": 63, "externalId": 40}
_LIMIT = 1023
DETAIL = "CustomerLockboxDetail"
#: Characters that some readers treat as line ends, in addition to line feed and carriage return (str.splitlines).
_OTHER_BREAKS = re.compile("[\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")


def lines(entries: Iterable[AuditEntry], source: Source) -> Iterator[str]:
    for row in entries:
        yield line(read(row, source.shards), source) + "\n"


def line(entry: ExportedEntry, source: Source) -> str:
    meaning = meaning_of(entry.event, entry.detail_text("action"))
    severity = meaning.severity if entry.is_intact else Severity.HIGH
    event = entry.event or "unknown"
    header = ("CEF:0", source.vendor, PRODUCT, source.version, event, title_of(event), severity.of_ten)
    fields = (f"{key}={value(text)}" for key, text in _extension(entry).items() if text)
    return "|".join(_header(str(part)) for part in header) + "|" + " ".join(fields)


def _extension(entry: ExportedEntry) -> dict[str, str]:
    meaning, who, acted = meaning_of(entry.event, entry.detail_text("action")), entry.who, entry.actor
    found = {
        "rt": str(entry.at_ms),
        "cat": meaning.family.caption,
        "act": meaning.activity_name,
        "outcome": "failure" if meaning.has_failed else "success",
        "reason": entry.detail_text("code"),
        "deviceFacility": entry.door,
        "externalId": entry.guid,
        "suid": who["id"],
        "suser": who["email"] or who["name"],
        "sourceServiceName": entry.through.get("name", ""),
        "duid": entry.detail_text("person"),
        "duser": entry.detail_text("email") if entry.detail_text("person") else "",
        "fname": _item(entry),
        **_labelled("cn1", "logIndex", str(entry.position.index)),
        **_labelled("cn2", "logSequence", str(entry.seq)),
        **_labelled("cs1", "leafHash", entry.leaf_hash),
        **_labelled("cs2", "logOrigin", entry.position.origin),
        **_labelled("cs3", "accessRequest", entry.access_request),
        **_labelled("cs4", "actor", _words(acted, entry.in_name_of, entry.deputy_for)),
        **_labelled("cs5", "tenant", str(entry.tenant)),
        **_labelled("cs6", "subject", f"{entry.subject_type} {entry.subject_id}"),
    }
    cut = {key: text[: LIMITS.get(key, _LIMIT)] for key, text in found.items()}
    detail = json.dumps(entry.detail, ensure_ascii=True, separators=(",", ":"))
    intact = "" if entry.is_intact else "false"
    extra = {DETAIL: detail, "CustomerLockboxDeputyFor": entry.deputy_for, "CustomerLockboxIntact": intact}
    if entry.is_practice:
        extra["CustomerLockboxPractice"] = "true"
    return cut | extra | _signed(entry)


def _item(entry: ExportedEntry) -> str:
    if not entry.event.startswith("content."):
        return ""
    return entry.detail_text("reference") or entry.detail_text("item")


def _signed(entry: ExportedEntry) -> dict[str, str]:
    """Return whether a decision is signed, with which passkey, and whether that passkey can't leave its device.

    The result is empty for entries that are not decisions.
    """
    found = entry.signature
    if found is None:
        return {}
    return {
        "CustomerLockboxSigned": _yes(found.is_signed),
        "CustomerLockboxSignedBy": found.passkey,
        "CustomerLockboxDeviceBound": _yes(found.is_device_bound),
    }


def _yes(value: bool | None) -> str:
    return "" if value is None else str(value).lower()


def _words(acted: dict[str, str], whose: dict[str, str], deputy_for: str) -> str:
    parts = [acted["side"], acted["kind"], acted["name"], "for" if whose else "", whose.get("name", "")]
    parts += ["deputy for" if deputy_for else "", deputy_for]
    return " ".join(part for part in parts if part)


def _labelled(key: str, label: str, text: str) -> dict[str, str]:
    return {key: text, f"{key}Label": label} if text else {}


def value(text: str) -> str:
    """Escape the backslash, the equal sign and line breaks, so that a value stays one value on one line.

    The format has escapes for only two kinds of line break, so all others become a line feed first. Without escapes, a
    text in a field could continue on a new line and look like another entry.
    """
    text = _OTHER_BREAKS.sub("\n", plain(text)).replace("\\", "\\\\").replace("=", "\\=")
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _header(text: str) -> str:
    """Escape a field of the header. Line breaks become spaces, because the header has no escapes for them."""
    text = _OTHER_BREAKS.sub(" ", plain(text)).replace("\r", " ").replace("\n", " ")
    return text.replace("\\", "\\\\").replace("|", "\\|")


def plain(text: str) -> str:
    """Return the text, changed so that UTF-8 can encode it and no reader cuts it at a zero byte."""
    return text.encode(errors="backslashreplace").decode().replace("\x00", "\ufffd")

"""The log in the Common Event Format: "Implementing ArcSight Common Event Format (CEF)", version 0 of the format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from audit_app.meanings import Severity
from audit_app.models import AuditEntry
from audit_app.said import Said, read
from audit_app.siem.events import meaning_of, title_of
from audit_app.siem.source import PRODUCT, Source

#: Where the dictionary of the format limits a field. The detail has a name of its own, which has no limit.
LIMITS = {"act": 63, "externalId": 40}
_LIMIT = 1023
DETAIL = "CustomerLockboxDetail"
#: What some reader takes for the end of a line, beside line feed and carriage return (str.splitlines).
_OTHER_BREAKS = re.compile("[\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")


def lines(entries: Iterable[AuditEntry], source: Source) -> Iterator[str]:
    for entry in entries:
        yield line(read(entry, source.places), source) + "\n"


def line(said: Said, source: Source) -> str:
    meaning = meaning_of(said.event, said.told("action"))
    severity = meaning.severity if said.is_intact else Severity.HIGH
    event = said.event or "unknown"
    header = ("CEF:0", source.vendor, PRODUCT, source.version, event, title_of(event), severity.of_ten)
    fields = (f"{key}={value(text)}" for key, text in _extension(said).items() if text)
    return "|".join(_header(str(part)) for part in header) + "|" + " ".join(fields)


def _extension(said: Said) -> dict[str, str]:
    meaning, who, acted = meaning_of(said.event, said.told("action")), said.who, said.actor
    found = {
        "rt": str(said.at_ms),
        "cat": meaning.family.caption,
        "act": meaning.activity_name,
        "outcome": "failure" if meaning.has_failed else "success",
        "reason": said.told("code"),
        "deviceFacility": said.door,
        "externalId": said.guid,
        "suid": who["id"],
        "suser": who["email"] or who["name"],
        "sourceServiceName": said.through.get("name", ""),
        "duid": said.told("person"),
        "duser": said.told("email") if said.told("person") else "",
        "fname": (said.told("reference") or said.told("item")) if said.event.startswith("content.") else "",
        **_labelled("cn1", "logIndex", str(said.place.index)),
        **_labelled("cn2", "logSequence", str(said.seq)),
        **_labelled("cs1", "leafHash", said.leaf_hash),
        **_labelled("cs2", "logOrigin", said.place.origin),
        **_labelled("cs3", "accessRequest", said.access_request),
        **_labelled("cs4", "actor", _words(acted, said.whose, said.deputy_for)),
        **_labelled("cs5", "tenant", str(said.tenant)),
        **_labelled("cs6", "subject", f"{said.subject_type} {said.subject_id}"),
    }
    cut = {key: text[: LIMITS.get(key, _LIMIT)] for key, text in found.items()}
    detail = json.dumps(said.detail, ensure_ascii=True, separators=(",", ":"))
    intact = "" if said.is_intact else "false"
    own = {DETAIL: detail, "CustomerLockboxDeputyFor": said.deputy_for, "CustomerLockboxIntact": intact}
    return cut | own | _signed(said)


def _signed(said: Said) -> dict[str, str]:
    """Of a decision: whether it is signed, by which passkey, and whether that one can't leave its device."""
    found = said.signature
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
    """A value of the extension: backslash, equal sign and line breaks escaped, so that it stays one value on one line.

    The format has escapes for two line breaks only. Every other one becomes a line feed: unescaped, what somebody
    wrote into a field could stand as a line of its own, and look like an entry.
    """
    text = _OTHER_BREAKS.sub("\n", plain(text)).replace("\\", "\\\\").replace("=", "\\=")
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _header(text: str) -> str:
    """A field of the header, which has no escape for line breaks: they become spaces."""
    text = _OTHER_BREAKS.sub(" ", plain(text)).replace("\r", " ").replace("\n", " ")
    return text.replace("\\", "\\\\").replace("|", "\\|")


def plain(text: str) -> str:
    """Text that can be sent as UTF-8, and that no reader takes for ended at a zero."""
    return text.encode(errors="backslashreplace").decode().replace("\x00", "\ufffd")

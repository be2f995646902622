"""The parts of the history that the tests compare: exact bytes, but of mails only the facts."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from audit_app import checkpoints
from audit_app.models import AuditEntry, ChainHead, Checkpoint
from requests_app.models import (
    AccessRequest,
    Decision,
    Mute,
    Passkey,
    Person,
    Resource,
    Service,
    Tenant,
    Ticket,
    TicketComment,
    Webhook,
)
from requests_app.queries import signing
from tests.caller import Caller
from tests.golden.history import History

Files = dict[str, bytes]


def _short(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


# --- The log ---------------------------------------------------------------------------------------------------


def log() -> Iterator[str]:
    """Yield the canonical bytes of each entry, log after log, in order."""
    for head in ChainHead.objects.order_by("pk"):
        yield f"# {checkpoints.origin_of(head.pk, 0)}: {head.size} entries, {head.pruned_to} of them removed"
        for entry in AuditEntry.objects.filter(tenant_id=head.pk).order_by("seq"):
            yield bytes(entry.canonical).decode()


def signed() -> Iterator[str]:
    """Yield the hash of each checkpoint. Also yield the newest checkpoint of each shard with all its signatures."""
    for head in ChainHead.objects.order_by("pk"):
        rows = list(Checkpoint.objects.filter(tenant_id=head.pk).order_by("shard", "size"))
        for row in rows:
            lines = sorted(each.line for each in row.cosignatures.all())
            root = base64.b64encode(bytes(row.root)).decode()
            note, cosigned = _short(row.note.encode()), _short("".join(lines).encode()) if lines else "-"
            yield f"{checkpoints.origin_of(head.pk, row.shard)} {row.size} {root} {note} {cosigned}"
        for shard in sorted({row.shard for row in rows}):
            newest = [row for row in rows if row.shard == shard][-1]
            yield from newest.note.rstrip("\n").split("\n")
            yield from sorted(each.line.rstrip("\n") for each in newest.cosignatures.all())


def receipts(history: History, reader: Caller) -> Iterator[str]:
    """Yield inclusion proofs and consistency proofs, in both forms that the API offers."""
    log = f"tenants/{history.world.tenant().pk}/log"
    size = ChainHead.objects.get(pk=history.world.tenant().pk).size
    for path in (
        *(f"entries/{seq}/proof" for seq in (0, 1, size // 2)),
        *(f"consistency/{old}/{size // 2}" for old in (1, 7, size // 3)),
        "checkpoint",
    ):
        for kind in ("application/json", "text/plain"):
            answer = reader.get(f"{log}/{path}", Accept=kind)
            yield f"# {path} {kind} {answer.status_code}"
            yield from answer.content.decode().rstrip("\n").split("\n")


# --- Evidence --------------------------------------------------------------------------------------------------

#: Files with text for people, which may change.
_WORDS = re.compile(r"README|timeline|lockbox_verify|\.html$|\.pdf$")
#: Files whose content is also in the log.
_LONG = re.compile(r"^(?:entries|proofs|consistency)-\d+\.jsonl$|\.bin$")


def bundles(history: History, reader: Caller) -> dict[str, bytes]:
    """Return two evidence bundles: about the access request `main`, and about the whole log."""
    tenant = history.world.tenant().pk
    found = {}
    for name, path in {
        "access_request": f"access-requests/{history.main.pk}/evidence",
        "log": f"tenants/{tenant}/log/evidence",
    }.items():
        answer = reader.get(path)
        assert answer.status_code == 200, answer.content
        found[name] = b"".join(answer)
    return found


def files_of(bundle: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def evidence(found: dict[str, bytes]) -> Iterator[str]:
    for kind, bundle in found.items():
        yield f"# {kind}"
        for name, raw in files_of(bundle).items():
            if _WORDS.search(name):
                yield f"## {name}"
                continue
            if name == "manifest.json":
                record = json.loads(raw)
                record["files"] = {each: says for each, says in record["files"].items() if not _WORDS.search(each)}
                yield f"## {name}"
                yield from json.dumps(record, indent=1, ensure_ascii=False).split("\n")
                continue
            yield f"## {name} {len(raw)} {_short(raw)}"
            if not _LONG.search(name):
                yield from raw.decode().rstrip("\n").split("\n")


# --- Decisions -------------------------------------------------------------------------------------------------


def decisions(history: History) -> Iterator[str]:
    """Yield the text and digest of each signed decision, and the digest and text of each access request."""
    for step, text, digest in history.manifests:
        yield f"{step}: {digest} {text}"
    for row in AccessRequest.objects.order_by("submitted_at", "reference"):
        yield f"{row.reference} {row.state} {row.content_digest} {signing.submitted_text(row)}"


# --- Mails -----------------------------------------------------------------------------------------------------

_LINK = re.compile(r"https?://[^\s<>\"]+")
_NUMBER = re.compile(r"[\w@./:+#%-]*\d[\w@./:+#%-]*")
#: Headers that are left out if they have this value.
_ALWAYS = {("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")}
_SENDER = "Microsoft Customer Lockbox <lockbox@localhost>"
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAMED = (
    (Person, "name"), (Person, "email"), (Tenant, "name"), (Resource, "name"), (Service, "name"), (Ticket, "title"),
    (Ticket, "body"), (Ticket, "external_reference"), (AccessRequest, "justification"), (AccessRequest, "tried"),
    (Decision, "comment"), (TicketComment, "body"), (Mute, "note"), (Passkey, "name"),
    (Webhook, "label"),
)  # fmt: skip


def mails(history: History) -> Iterator[str]:
    """Yield the recipient, topic, links, numbers and names of each mail. The mails of a step are sorted by topic."""
    # Longer names first: a name inside a longer name is not counted again.
    names = sorted(sorted({" ".join(str(name).split()) for name in _names()} - {""}), key=len, reverse=True)
    order = {step: at for at, (step, _mail) in enumerate(history.mails)}
    blocks = [(order[step], _block(step, mail, names)) for step, mail in history.mails]
    for _at, lines in sorted(blocks):
        yield from lines


def _block(step: str, mail: Any, names: list[str]) -> list[str]:
    headers = dict(mail.extra_headers)
    topic = headers.pop("X-Lockbox-Topic")
    if headers.get("References") == headers.get("In-Reply-To"):
        del headers["References"]
    headers["Message-ID"] = re.sub(r"\.[0-9a-f]{16}@", ".<hash>@", re.sub(_ID, "<id>", headers["Message-ID"]))
    sender = "" if mail.from_email == _SENDER else f" | {mail.from_email}"
    shown = [f"{name}: {value}" for name, value in sorted(headers.items()) if (name, value) not in _ALWAYS]
    lines = [f"# {step} | {topic} | {' '.join(mail.to)}{sender}", " | ".join(shown)]
    plain = _facts(f"{mail.subject} {mail.body}", names)
    markup = mail.alternatives[0][0]
    rich = _facts(f"{mail.subject} {_text(markup)}", names)
    links = sorted({html.unescape(each) for each in re.findall(r'href="([^"]*)"', markup)})
    lines += plain
    if rich[1:] != plain[1:]:
        lines += [f"html {line}" for line in rich[1:]]
    if f"links {' '.join(links)}" != plain[0]:
        lines.append(f"html links {' '.join(links)}")
    for name, raw, _kind in mail.attachments:
        lines.append(f"file {name} {_short(raw if isinstance(raw, bytes) else raw.encode())}")
    return lines


def _names() -> Iterator[Any]:
    for model, field in _NAMED:
        yield from model._default_manager.values_list(field, flat=True)


def _facts(text: str, names: list[str]) -> list[str]:
    text = " ".join(text.split())
    links = sorted({each.rstrip(".,)") for each in _LINK.findall(text)})
    rest = _LINK.sub(" ", text)
    mentioned = []
    for name in names:
        # Few names are in a mail, and the expression takes much longer than `in`.
        if name in rest and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", rest):
            mentioned.append(name)
            rest = rest.replace(name, " ")
    numbers = sorted({each.strip(".,:-/#+") for each in _NUMBER.findall(rest)})
    return [f"links {' '.join(links)}", f"numbers {' '.join(numbers)}", f"names {json.dumps(sorted(mentioned))}"]


def _text(markup: str) -> str:
    """Return the text that a reader sees of a mail's HTML."""
    markup = re.sub(r"(?s)<(style|title|head)\b.*?</\1>", " ", markup)
    return html.unescape(re.sub(r"<[^>]*>", " ", markup))


# --- Webhooks --------------------------------------------------------------------------------------------------


def posts(history: History) -> Iterator[str]:
    """Yield each webhook message with its headers and its exact body. Equal bodies are written only once."""
    shown: set[bytes] = set()
    order = {step: at for at, (step, *_rest) in enumerate(history.posts)}
    for _step, url, body, options in sorted(history.posts, key=lambda each: (order[each[0]], each[1], each[2])):
        headers = " | ".join(f"{name}: {value}" for name, value in sorted(options["headers"].items()))
        yield f"POST {url} {options['content_type']} {headers}"
        if body not in shown:
            shown.add(body)
            yield body.decode()

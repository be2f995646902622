"""Prepares a message for a page: its text, its sanitised HTML, and the list of its attachments."""

import io

from requests_app.content.connectors import _headers, _html, _mime
from requests_app.content.connectors._text import decode, visible_lines
from requests_app.content.connectors.base import Attachment, Item, Limits, Message

_SHOWN = {"from": "From", "to": "To", "cc": "Cc", "date": "Date", "subject": "Subject", "message-id": "Message-ID"}


def read_message(item: Item, file: io.FileIO, size: int, limits: Limits) -> Message:
    """Return the message in the form that a page shows. A damaged or hostile message is shown as far as possible."""
    structure = _mime.scan(file, size, limits)
    problems = dict.fromkeys(structure.problems)
    bodies = [part for part in structure.parts if _is_body(part)]
    text, is_cut = _joined(file, [part for part in bodies if part.media_type == "text/plain"], limits.text_bytes)
    if is_cut:
        problems["text_cut"] = None
    html, is_cut = _joined(file, [part for part in bodies if part.media_type == "text/html"], limits.html_bytes)
    if is_cut:
        problems["html_cut"] = None
    if _html.has_images(html):
        problems["images_withheld"] = None
    attached = tuple(_attachment(file, part) for part in structure.parts if not _is_body(part))
    headers = {
        label: _headers.decoded(structure.headers[name]) for name, label in _SHOWN.items() if name in structure.headers
    }
    return Message(
        item=item,
        headers=headers,
        sent_at=_headers.sent_at(structure.headers),
        text=visible_lines(text),
        html=_html.sanitised(visible_lines(html)),
        attachments=attached,
        problems=tuple(problems),
    )


def _is_body(part: _mime.Part) -> bool:
    """Return whether the page shows this part as text. A part with a file name is listed as an attachment instead."""
    return part.media_type in ("text/plain", "text/html") and part.disposition != "attachment" and not part.filename


def _joined(file: io.FileIO, parts: list[_mime.Part], limit: int) -> tuple[str, bool]:
    """Decode and join these parts, up to `limit` bytes. Return the text, and whether it was cut."""
    pieces: list[str] = []
    for part in parts:
        joined = bytearray()
        for chunk in _mime.PartSource(file, part):
            joined += chunk
            if len(joined) > limit:
                break
        pieces.append(decode(bytes(joined[:limit]), part.charset))
        if len(joined) > limit:
            return "\n\n".join(pieces), True
        limit -= len(joined)
    return "\n\n".join(pieces), False


def _attachment(file: io.FileIO, part: _mime.Part) -> Attachment:
    size = sum(len(chunk) for chunk in _mime.PartSource(file, part))
    return Attachment(part=part.name, filename=part.safe_filename, media_type=part.media_type, size=size)

"""Reads XML from a stranger: without document types, entities, comments, or anything else that two parsers may read
differently.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from lxml import etree

from requests_app.identity.sso.failures import SignOnFailed

#: The most bytes of an answer, and of metadata. A federation's file about hundreds of parties is not accepted.
MOST_ANSWER, MOST_METADATA = 128 * 1024, 256 * 1024
#: The most elements of one document. Longer ones cost more time than a sign-in is worth.
MOST_ELEMENTS = 5000

#: An element of a parsed document. lxml has no types.
Element = Any

_DECLARATION = re.compile(rb"\s*<\?xml\s[^<>?]{0,100}\?>")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII)


def parsed(data: bytes, *, code: str = "document", at_most: int = MOST_ANSWER, comments: bool = False) -> Element:
    """Parse a document and return its root. Raise SignOnFailed with this code if it is not plain XML in UTF-8.

    In XML, `<!` begins only a document type, a declaration in it, a comment or a CDATA section, and `<?` begins a
    processing instruction. All of these are refused before the parser sees the document, so no bug or option of a
    parser can bring them back. `comments` allows comments and CDATA sections; that is for metadata, which people edit.
    """
    if not data or len(data) > at_most:
        raise SignOnFailed(code, "size")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise SignOnFailed(code, "encoding") from None
    body = _DECLARATION.sub(b"", data, count=1) if data.lstrip().startswith(b"<?xml") else data
    marks = body.replace(b"<!--", b"").replace(b"<![CDATA[", b"") if comments else body
    if b"<!" in marks or b"<?" in body or b"\0" in body:
        raise SignOnFailed(code, "markup")
    try:
        root = etree.fromstring(body, _parser(comments=comments))
    except (etree.LxmlError, ValueError) as error:
        raise SignOnFailed(code, type(error).__name__) from None
    if sum(1 for _each in root.iter()) > MOST_ELEMENTS:
        raise SignOnFailed(code, "elements")
    return root


def _parser(*, comments: bool) -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        remove_comments=comments,
        remove_pis=False,
        collect_ids=False,
    )


def children(parent: Element, name: str) -> list[Element]:
    return [each for each in parent if each.tag == name]


def only(parent: Element, name: str, *, code: str = "document") -> Element:
    """Return the one child with this name. Raise SignOnFailed unless there is exactly one."""
    found = children(parent, name)
    if len(found) != 1:
        raise SignOnFailed(code, name.rpartition("}")[2])
    return found[0]


def text(element: Element, *, code: str = "document") -> str:
    """Return the whole text of an element that has no other elements in it."""
    if len(element):
        raise SignOnFailed(code, element.tag.rpartition("}")[2])
    return str(element.text or "")


def instant(value: str | None, *, code: str = "time") -> datetime:
    """Parse a time. SAML's times are in UTC and end with "Z" (SAML Core, section 1.3.3)."""
    found = _TIME.match(value or "")
    if found is None:
        raise SignOnFailed(code, "form")
    try:
        return datetime.fromisoformat(f"{found[1]}.{(found[2] or '0')[:6]:0<6}").replace(tzinfo=UTC)
    except ValueError:
        raise SignOnFailed(code, "form") from None


def base64_text(element: Element) -> str:
    return "".join(text(element, code="signature").split())

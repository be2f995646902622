"""What the documents lead to is there: files, headings, pictures, pages, code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from django.urls import Resolver404, resolve

from tests.docs.documents import (
    ROOT,
    anchors,
    blocks,
    bold,
    code_spans,
    commands,
    documents,
    links,
    name_of,
    prose,
    sources,
)

#: Guides for people: what is bold in them is a label of a page, or of a mail.
GUIDES = ("customer-", "engineer", "provider-approver")
#: Places of a machine, which are no addresses of pages.
PLACES = ("/opt/", "/etc/", "/var/", "/srv/", "/tmp/")
_PLACEHOLDER = re.compile(r"<[a-z: ]+>")
_KINDS = {"approve|deny": "approve", "csv|jsonl": "csv", "action": "revoke", "slug:action": "close_ticket"}


def dead_links(path: Path) -> list[str]:
    return [target for target in links(path) if not target.startswith(("http", "mailto:")) and not _leads(path, target)]


def _leads(path: Path, target: str) -> bool:
    name, _, fragment = target.partition("#")
    other = (path.parent / name).resolve() if name else path
    if not other.exists() or not other.is_relative_to(ROOT):
        return False
    return not fragment or (other.suffix == ".md" and fragment in anchors(other))


def _address(span: str) -> str:
    """The span as an address that can be resolved."""
    return _PLACEHOLDER.sub(lambda found: _KINDS.get(found[0].strip("<>"), str(uuid4())), span).partition("?")[0]


def dead_addresses(path: Path) -> list[str]:
    found = []
    for span in code_spans(path):
        if re.fullmatch(r"/[\w<>|:/. -]*", span) and not span.startswith(PLACES):
            try:
                resolve(_address(span))
            except Resolver404:
                found.append(span)
    return found


_TOP = "|".join(sorted(entry.name for entry in ROOT.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
_FILE = re.compile(rf"(?:{_TOP})/[\w./<>*-]*")


def dead_paths(path: Path) -> list[str]:
    """Files of the project that the document names and that are not there."""
    named = [span for span in code_spans(path) if _FILE.fullmatch(span) and not span.startswith("var/")]
    return [span for span in named if not list(ROOT.glob(_PLACEHOLDER.sub("*", span).rstrip("/")))]


_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def _is_name(span: str) -> bool:
    """A name of the code's, and not a word, a file or a command."""
    inner = span[1:]
    return bool(_NAME.fullmatch(span)) and ("_" in inner or "." in inner or any(char.isupper() for char in inner))


def _known_text() -> str:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    here = Path(__file__).parent
    own = [path for path in tests if path.parent != here]
    other = [ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / "requirements.in"]
    programs = [command.split()[0] for block in blocks("sh") for command in commands(block)]
    return "\n".join([path.read_text(errors="replace") for path in [*sources(), *own, *other]] + programs)


@pytest.fixture(scope="module")
def known() -> str:
    return _known_text()


def unknown_names(path: Path, known: str) -> list[str]:
    return [span for span in code_spans(path) if _is_name(span) and not _occurs(span, known)]


def _occurs(span: str, known: str) -> bool:
    if span in known:
        return True
    # `grant.closes_at`, `Limits.item_bytes`: the last part is what must exist. A file of our own stands for itself.
    last = span.rpartition(".")[2]
    is_file = (ROOT / span).exists() or any(path.name == span for path in sources())
    return is_file or re.search(rf"\b{re.escape(last)}\b", known) is not None and span.count(".") == 1


@pytest.mark.parametrize("path", documents(), ids=name_of)
@pytest.mark.parametrize("check", [dead_links, dead_addresses, dead_paths])
def test_what_a_document_leads_to_is_there(path: Path, check: Callable[[Path], list[str]]) -> None:
    assert check(path) == []


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_a_name_in_a_document_is_one_of_the_code(path: Path, known: str) -> None:
    assert unknown_names(path, known) == []


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (dead_links, "[x](no-such-file.md)"),
        (dead_links, "[x](../README.md#no-such-heading)"),
        (dead_links, "[x](../../etc/passwd)"),
        (dead_addresses, "Go to `/no-such-page/`."),
        (dead_addresses, "Go to `/tickets/<id>/no/such/`."),
        (dead_paths, "See `requests_app/no_such_module.py`."),
    ],
)
def test_the_checks_bite(check: Callable[[Path], list[str]], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "docs" / "not-there.md"
    monkeypatch.setattr("tests.docs.documents._parted", lambda _: ([], text))
    assert len(check(path)) == 1


def test_an_unknown_name_is_found(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.documents._parted", lambda _: ([], "`approve_as_nobody` and `approve_as_customer`"))
    assert unknown_names(ROOT / "README.md", known) == ["approve_as_nobody"]


def test_a_heading_is_reached_as_on_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# What it cannot stop\n### 1. An engineer's `x`, twice"
    monkeypatch.setattr("tests.docs.documents._parted", lambda _: ([], text))
    assert anchors(tmp_path) == {"what-it-cannot-stop", "1-an-engineers-x-twice"}


# --- Labels ------------------------------------------------------------------------------------------------


def _marked() -> set[str]:
    """Every text that stands in quotation marks in a template or a module: whole, as people read it."""
    text = "\n".join(path.read_text() for path in sources(".html", ".txt", ".py"))
    return set(re.findall(r'"([^"\n]+)"', text)) | set(re.findall(r"'([^'\n]+)'", text))


def guides() -> list[Path]:
    return [path for path in documents() if path.parent == ROOT / "docs" and path.name.startswith(GUIDES)]


@pytest.mark.parametrize("path", guides(), ids=name_of)
def test_a_bold_label_in_a_guide_stands_on_a_page(path: Path) -> None:
    assert sorted(set(bold(path)) - _marked()) == []


def test_the_guides_have_labels() -> None:
    assert "Close now" in [label for path in guides() for label in bold(path)]


# --- The rest ----------------------------------------------------------------------------------------------


def test_the_index_leads_to_every_document() -> None:
    index = ROOT / "docs" / "README.md"
    led = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
    inside = {path for path in documents() if path.is_relative_to(ROOT / "docs") and path != index}
    assert sorted(name_of(path) for path in inside - led) == []


def test_the_index_gives_each_decision_its_title() -> None:
    index = prose(ROOT / "docs" / "README.md")
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        number, _, title = path.read_text().splitlines()[0].removeprefix("# ").partition(". ")
        assert f"{number}. [{title}](adr/{path.name})" in index


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: f"{block.document}:{block.line}")
def test_code_in_a_document_is_code(block) -> None:
    ast.parse(block.text)


def test_every_block_says_what_it_is() -> None:
    assert [f"{block.document}:{block.line}" for block in blocks("")] == []


def test_the_picture_of_the_decision_page_is_small() -> None:
    picture = ROOT / "docs" / "images" / "review.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000

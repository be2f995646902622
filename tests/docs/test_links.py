"""Everything that the documents refer to exists: files, headings, pictures, pages, code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from django.urls import Resolver404, resolve

from tests.docs.documents import anchors, blocks, bold, code_spans, commands, documents, links, prose
from tests.sources import ROOT, files_in, name_of, product_files, text_of

#: Guides for people. Bold text in a guide is a label of a page or of a mail.
GUIDES = ("customer-", "engineer", "provider-approver")
#: Paths on a machine or at another site, which are not addresses of pages.
PLACES = ("/.lockbox/", "/opt/", "/etc/", "/var/", "/srv/", "/tmp/", "/mnt/", "/run/")
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
    """Return a text in backticks as an address that the URL configuration can resolve."""
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
    """Return the files that the document mentions but that do not exist in the project."""
    named = [span for span in code_spans(path) if _FILE.fullmatch(span) and not span.startswith("var/")]
    return [span for span in named if not list(ROOT.glob(_PLACEHOLDER.sub("*", span).rstrip("/")))]


_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def _is_name(span: str) -> bool:
    """Return whether a text in backticks is a name in the code, and not a word, a file or a command."""
    inner = span[1:]
    return bool(_NAME.fullmatch(span)) and ("_" in inner or "." in inner or any(char.isupper() for char in inner))


@cache
def _known_text() -> str:
    """Return the text of the product and of the tests, except tests/docs, which contains invalid examples."""
    here = Path(__file__).parent
    tests = [path for path in files_in("tests") if path.suffix == ".py" and path.parent != here]
    other = [ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / "requirements.in"]
    programs = [command.split()[0] for block in blocks("sh") for command in commands(block)]
    # Some files of the product are pictures.
    return "\n".join([path.read_text(errors="replace") for path in [*product_files(), *tests, *other]] + programs)


@cache
def _known_words() -> frozenset[str]:
    return frozenset(re.findall(r"\w+", _known_text()))


@cache
def _known_files() -> frozenset[str]:
    return frozenset(path.name for path in product_files())


def unknown_names(path: Path) -> list[str]:
    return [span for span in code_spans(path) if _is_name(span) and not _occurs(span)]


@cache
def _occurs(span: str) -> bool:
    # The sets only save time. The text decides.
    if span in _known_words() or span in _known_files() or (ROOT / span).exists() or span in _known_text():
        return True
    # In `grant.closes_at` or `Limits.item_bytes`, the last part must exist.
    return span.count(".") == 1 and span.rpartition(".")[2] in _known_words()


def offenders(check: Callable[[Path], list[str]], paths: list[Path]) -> dict[str, list[str]]:
    """Run a check on each of these documents. Return what it finds, by document."""
    assert paths
    return {name_of(path): found for path in paths if (found := check(path))}


def test_every_link_in_the_documents_leads_somewhere() -> None:
    assert offenders(dead_links, documents()) == {}


def test_every_address_in_the_documents_is_a_route() -> None:
    assert offenders(dead_addresses, documents()) == {}


def test_every_path_in_the_documents_is_a_file() -> None:
    assert offenders(dead_paths, documents()) == {}


def test_every_name_in_the_documents_is_one_of_the_code() -> None:
    assert offenders(unknown_names, documents()) == {}


def test_the_walks_find_something_to_judge() -> None:
    assert len(documents()) > 60
    spans = [span for path in documents() for span in code_spans(path)]
    assert sum(len(links(path)) for path in documents()) > 100
    assert sum(1 for span in spans if _is_name(span)) > 100
    assert sum(1 for span in spans if _FILE.fullmatch(span)) > 50
    assert sum(1 for span in spans if span.startswith("/") and not span.startswith(PLACES)) > 20


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
def test_each_check_finds_dead_links(
    check: Callable[[Path], list[str]], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / "docs" / "not-there.md"
    monkeypatch.setattr("tests.docs.documents._parted", lambda _: ([], text))
    assert len(check(path)) == 1


def test_an_unknown_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.documents._parted", lambda _: ([], "`approve_as_nobody` and `approve_as_customer`"))
    assert unknown_names(ROOT / "README.md") == ["approve_as_nobody"]


def test_a_heading_is_reached_as_on_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# What it cannot stop\n### 1. An engineer's `x`, twice"
    monkeypatch.setattr("tests.docs.documents._parted", lambda _: ([], text))
    assert anchors(tmp_path) == {"what-it-cannot-stop", "1-an-engineers-x-twice"}


# --- Labels ------------------------------------------------------------------------------------------------


@cache
def _quoted() -> frozenset[str]:
    """Return every text in quotation marks in templates and modules, without its markup."""
    text = "\n".join(map(text_of, product_files(".html", ".txt", ".py")))
    return frozenset(re.findall(r'"([^"\n]+)"', text) + re.findall(r"'([^'\n]+)'", text))


def guides() -> list[Path]:
    return [path for path in documents() if path.parent == ROOT / "docs" and path.name.startswith(GUIDES)]


def test_every_bold_label_in_the_guides_is_on_a_page() -> None:
    assert "Close now" in [label for path in guides() for label in bold(path)]
    assert offenders(lambda path: sorted(set(bold(path)) - _quoted()), guides()) == {}


# --- Other rules -------------------------------------------------------------------------------------------


def test_the_index_leads_to_every_document() -> None:
    index = ROOT / "docs" / "README.md"
    led = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
    inside = {path for path in documents() if path.is_relative_to(ROOT / "docs") and path != index}
    assert sorted(name_of(path) for path in inside - led) == []


def test_the_index_gives_each_decision_its_title() -> None:
    index = prose(ROOT / "docs" / "README.md")
    decisions = [path for path in documents() if path.parent == ROOT / "docs" / "adr"]
    assert decisions
    lines = {path.name: text_of(path).partition("\n")[0].removeprefix("# ").partition(". ") for path in decisions}
    missing = [name for name, (number, _, title) in lines.items() if f"{number}. [{title}](adr/{name})" not in index]
    assert missing == []


def test_each_decision_has_a_number_of_its_own_and_the_index_is_in_order() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert len(numbers) == len(set(numbers))
    index = text_of(ROOT / "docs" / "README.md")
    assert [int(number) for number in re.findall(r"^(\d+)\. \[", index, flags=re.MULTILINE)] == numbers


def _fault(code: str) -> str:
    """Return why a text in backticks is not valid code, or an empty text if it is."""
    try:
        ast.parse(code)
    except SyntaxError as error:
        return str(error)
    return ""


def test_python_in_the_documents_is_valid() -> None:
    faults = {f"{block.document}:{block.line}": _fault(block.text) for block in blocks("python")}
    assert faults
    assert {place: fault for place, fault in faults.items() if fault} == {}
    assert _fault("def")


def test_every_block_says_what_it_is() -> None:
    assert [f"{block.document}:{block.line}" for block in blocks("")] == []


def test_the_picture_of_the_decision_page_is_small() -> None:
    picture = ROOT / "docs" / "images" / "review.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000

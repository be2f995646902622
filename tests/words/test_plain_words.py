"""The linter finds each word that must not be used, in each kind of text. It reports nothing in a correct text."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.sources import ROOT

LINTER = runpy.run_path(str(ROOT / "bin" / "_plain_words.py"), run_name="plain_words")
FILES = {
    "templates/page.html": (
        "{% load i18n %}{# whoever: a comment is read as one #}\n"
        '<p class="whoever" title="{% translate "Lately" %}">{% translate "Whoever reads" as whoever %}</p>\n'
        '{% include "whoever.html" with label=_("Take it along") %}\n'
        "<p>{% blocktranslate trimmed %}The answer counts for\n  good, {{ whoever }}.{% endblocktranslate %}</p>\n"
        '<p>{% translate "a no-reply address, a <b>yes</b>" %}, a {{ x }} {% translate "yes" %} whoever</p>\n'
    ),
    "templates/mail.txt": "{% blocktranslate %}What is asked for is here.{% endblocktranslate %}\n",
    "docs/page.md": (
        "# The page\n\nIt says whose\ntoken it is. `whoever` is code.\n\n"
        "```sh\nwhoever\n```\n\n> whoever\n\n[page](whoever.md), https://x.example/whoever\n\nIt is moot.\n"
    ),
    "README.md": "It stands here.\n",
    "requests_app/module.py": (
        '"""Whoever reads a docstring."""\n\n'
        "# It stands\n# upon that.\n"
        'WORDS = _("Whoever asks")\n'
        'MORE = f"{WORDS} is none, and {WORDS} stands"\n'
        'KEY = "whoever"\n\n\n'
        "def was_told(kept, keys=()):\n    said_more, it.own = kept\n    for each in keys:\n        print(each)\n"
    ),
    "requests_app/migrations/0001.py": 'WORDS = _("Whoever asks")\n',
    "docs/openapi.json": (
        '{\n  "description": "Whoever calls,\\nand calls anew.",\n  "summary": "whoever",\n  "x": "whoever"\n}\n'
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Any:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copy(ROOT / "docs" / "writing.md", tmp_path / "docs" / "writing.md")
    return LINTER["Tree"](tmp_path)


def found(tree: Any, area: str) -> set[tuple[str, int, str]]:
    return {(each.file, each.line, each.word) for each in tree.offences(area)}


def test_words_of_templates_are_found(tree: Any) -> None:
    assert found(tree, "templates") == {
        ("templates/page.html", 2, "Lately"),
        ("templates/page.html", 2, "Whoever"),
        ("templates/page.html", 3, "Take it along"),
        ("templates/page.html", 4, "for good"),
        ("templates/page.html", 6, "a yes"),
        ("templates/mail.txt", 1, "What is asked for is"),
    }


def test_words_of_documents_are_found(tree: Any) -> None:
    assert found(tree, "docs") == {
        ("docs/page.md", 3, "whose token it is"),
        ("docs/page.md", 14, "moot"),
        ("README.md", 1, "stands"),
    }


def test_words_of_strings_are_found(tree: Any) -> None:
    assert found(tree, "strings") == {
        ("requests_app/module.py", 5, "Whoever"),
        ("requests_app/module.py", 6, "is none"),
        ("requests_app/module.py", 6, "stands"),
    }


def test_words_of_the_api_are_found(tree: Any) -> None:
    assert found(tree, "api") == {
        ("docs/openapi.json", 2, "Whoever"),
        ("docs/openapi.json", 2, "anew"),
        ("docs/openapi.json", 3, "whoever"),
    }


def test_words_of_comments_are_found(tree: Any) -> None:
    assert found(tree, "comments") == {
        ("requests_app/module.py", 1, "Whoever"),
        ("requests_app/module.py", 3, "stands"),
        ("requests_app/module.py", 4, "upon"),
        ("templates/page.html", 1, "whoever"),
    }


def test_names_are_found(tree: Any) -> None:
    assert found(tree, "names") == {
        ("requests_app/module.py", 10, "was_told"),
        ("requests_app/module.py", 10, "kept"),
        ("requests_app/module.py", 11, "said_more"),
        ("requests_app/module.py", 11, "own"),
    }


def test_each_offence_says_where_and_what_to_write(tree: Any) -> None:
    offence = next(each for each in tree.offences("docs") if each.word == "moot")
    assert str(offence) == 'docs/page.md:14: “moot”: write "out of date", "no longer needed"'


@pytest.mark.parametrize(
    ("subject", "offences"),
    [
        ("outbox: Give bundled messages their digest mail's final state", 0),
        ("single sign-on: Name a domain as taken", 0),
        ("outbox: Give bundled messages their digest mail's final state, all of them", 1),
        ("Give bundled messages a state", 1),
        ("outbox: give bundled messages a state", 1),
        ("outbox: Give bundled messages a state.", 1),
        ("step-up: Let no secret wait", 1),
        ("grants: Close for good what stands open", 2),
    ],
)
def test_the_subject_of_a_commit_is_judged(subject: str, offences: int) -> None:
    rules = LINTER["Rules"].from_document((ROOT / "docs" / "writing.md").read_text())
    assert len([*LINTER["judge_subject"](rules, "0123abc", subject)]) == offences


def git(place: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@x.example", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_only_commits_after_the_rules_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subjects_since = LINTER["subjects_since"]
    assert subjects_since(tmp_path, "0" * 40) == []
    assert capsys.readouterr().err == "Commit subjects were not read. There is no git repository here.\n"
    full, shallow = tmp_path / "full", tmp_path / "shallow"
    full.mkdir()
    git(full, "init", "-q")
    git(full, "commit", "-q", "--allow-empty", "-m", "before")
    base = git(full, "rev-parse", "HEAD")
    git(full, "commit", "-q", "--allow-empty", "-m", "docs: After", "-m", "The body is not judged.")
    assert [subject for _, subject in subjects_since(full, base)] == ["docs: After"]
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{full}", str(shallow))
    assert capsys.readouterr().err == ""
    assert subjects_since(shallow, base) == []
    assert "not read. This clone is shallow. `git fetch --unshallow`" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="is not in this history. Set RULES_SINCE in bin/_plain_words.py"):
        subjects_since(full, "0" * 40)


def test_without_an_area_it_reads_all_areas(tree: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert LINTER["main"]([], tree.root) == 1
    shown = capsys.readouterr()
    for area in ("templates", "docs", "strings", "api", "comments", "names"):
        assert [str(each) for each in tree.offences(area) if str(each) not in shown.out.splitlines()] == [], area
    # The tree is not a Git repository.
    assert "Commit subjects were not read." in shown.err


def test_an_area_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert LINTER["main"](["pages"], ROOT) == 2
    assert "There is no area pages" in capsys.readouterr().err

"""A missing file would only show as a broken picture: the names are checked here instead."""

import re
from pathlib import Path

from django.contrib.staticfiles import finders

ROOT = Path(__file__).resolve().parents[2]
STATIC = re.compile(r"{%\s*static\s+['\"]([^'\"]+)['\"]")


def test_every_static_file_that_a_template_names_exists() -> None:
    named = {name for page in (ROOT / "templates").rglob("*.html") for name in STATIC.findall(page.read_text())}
    assert "css/base.css" in named
    assert sorted(name for name in named if finders.find(name) is None) == []

"""The names of static files in the product are right. A wrong name would only show as a broken picture on a page."""

import re

from django.contrib.staticfiles import finders

from tests.sources import templates, text_of

STATIC = re.compile(r"{%\s*static\s+['\"]([^'\"]+)['\"]")


def test_every_static_file_that_a_template_names_exists() -> None:
    named = {name for page in templates() for name in STATIC.findall(text_of(page))}
    assert "css/base.css" in named
    assert sorted(name for name in named if finders.find(name) is None) == []

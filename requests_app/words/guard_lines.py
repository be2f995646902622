"""The lines that a developer pastes into an application to guard it. Everything but the secret is filled in.

Only comments are translatable in programs, and these have none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

#: The environment variable from which the lines read the secret. It is never in a file.
SECRET = "LOCKBOX_CLIENT_SECRET"  # noqa: S105  the name of a variable

_DJANGO = f"""\
# settings.py, at the end
import os

from lockbox_guard import Guard

LOCKBOX_GUARD = Guard(
    issuer={{issuer}},
    service={{service}},
    origin={{origin}},
    client_id={{client_id}},
    client_secret=os.environ["{SECRET}"],
    queue=BASE_DIR / "lockbox",
)
LOCKBOX_RULES = "lockbox_rules.rules"
MIDDLEWARE += [
    "lockbox_rules.end_of_access",
    "lockbox_guard.django.LockboxMiddleware",
]

# wsgi.py, at the end
from lockbox_guard import django as lockbox

application = lockbox.wsgi(application)
"""
_NODE = f"""\
import {{{{ Guard }}}} from "lockbox-guard";

const guard = new Guard({{{{
  issuer: {{issuer}},
  service: {{service}}, origin: {{origin}},
  clientId: {{client_id}},
  clientSecret: process.env.{SECRET},
  queue: "./lockbox", refused,
}}}});
guard.on("trouble", (error) => console.error(error.message));
app.use(guard.express(rule));
"""
#: In place of a value that nobody has given yet.
_MISSING = "…"


def django(found: Mapping[str, str]) -> str:
    return _filled(_DJANGO, found)


def node(found: Mapping[str, str]) -> str:
    """Return the lines for Express. `rule` and `refused` are functions of the application."""
    return _filled(_NODE, found)


def _filled(lines: str, found: Mapping[str, str]) -> str:
    """Put the values in as texts that Python and JavaScript read alike."""
    names = ("issuer", "service", "client_id", "origin")
    return lines.format(**{name: json.dumps(found.get(name) or _MISSING, ensure_ascii=False) for name in names})

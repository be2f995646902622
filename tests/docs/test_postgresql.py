"""Follows the documents' instructions for PostgreSQL on a server: the role, the dump, the restore."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.db import connection, connections

from lockbox_site.installing import answers
from tests.docs.clone import Clone
from tests.docs.documents import ROOT, blocks
from tests.docs.test_commands import POSTGRESQL, kind

pytestmark = [
    pytest.mark.skipif("DATABASE_ADMIN_URL" not in os.environ, reason="no superuser's address of the server is given"),
    pytest.mark.postgres,
    pytest.mark.deep,
    pytest.mark.timeout(300),
    pytest.mark.django_db(transaction=True),
]


def role() -> str:
    """Return the name of the role. It belongs to the whole server, on which other processes run tests, too."""
    return f"docs_{os.getpid()}"


@dataclass
class Server:
    """The address of the documented role's database, and of a second, empty database."""

    url: str
    restored: str


def _statements() -> list[str]:
    """Return the SQL statements in the documents. The role and the databases get other names here."""
    [block] = blocks("sql")
    text = re.sub(r"\blockbox\b", role(), block.text)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def _sql(*statements: str) -> None:
    """Run SQL as the superuser of the server. The tests' usual role can't create roles."""
    with psycopg.connect(os.environ["DATABASE_ADMIN_URL"], autocommit=True) as superuser:
        for statement in statements:
            superuser.execute(statement)


@pytest.fixture
def server(transactional_db: None) -> Iterator[Server]:
    drop = [
        f"DROP DATABASE IF EXISTS {role()}",
        f"DROP DATABASE IF EXISTS {role()}_2",
        f"DROP ROLE IF EXISTS {role()}",
    ]
    _sql(*drop, *_statements(), f"CREATE DATABASE {role()}_2 OWNER {role()}")
    where = connection.settings_dict
    base = f"postgres://{role()}:choose%20one@{where['HOST'] or 'localhost'}:{where['PORT'] or 5432}"
    yield Server(f"{base}/{role()}", f"{base}/{role()}_2")
    _sql(*drop)
    connections.close_all()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Return a copy of the repository. Its PATH has PostgreSQL's programs in the server's version."""
    made = Clone.make(tmp_path / "clone")
    place = importlib.util.spec_from_file_location("with_postgres", ROOT / "bin" / "_with_postgres.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    made.environment["PATH"] = f"{module.programs(tmp_path, None)}:{made.environment['PATH']}"
    return made


def test_a_role_that_is_no_superuser_can_do_all_that_the_documents_say(clone: Clone, server: Server) -> None:
    """Migrate, work, dump, restore and check as the documented role, which row-level security limits."""
    clone.environment |= {"DATABASE_URL": server.url, "RESTORED_URL": server.restored}
    assert "W032" not in clone.sh(".venv/bin/python manage.py migrate --noinput").stderr
    clone.done(".venv/bin/python manage.py demo_world --bare")
    before = clone.done(".venv/bin/python manage.py verify_audit")
    ordered = sorted(kind(POSTGRESQL), key=lambda command: command.startswith("pg_restore"))
    output = {command: clone.done(command) for command in ordered}
    assert answers.database(server.url) == server.url
    assert sum(command.startswith("pg_") for command in output) == 2
    assert clone.done(".venv/bin/python manage.py verify_audit", DATABASE_URL=server.restored) == before
    assert "0 bad" in before
    assert clone.done(".venv/bin/python manage.py migrate --check", DATABASE_URL=server.restored) is not None


def test_a_dump_without_the_option_is_refused(clone: Clone, server: Server) -> None:
    """This shows that the documented option is needed."""
    clone.done(".venv/bin/python manage.py migrate --noinput", DATABASE_URL=server.url)
    refused = clone.sh('pg_dump --format=custom --file=x.dump "$DATABASE_URL"', DATABASE_URL=server.url)
    assert refused.returncode != 0
    assert "row-level security" in refused.stderr


def test_a_superuser_is_recognised(clone: Clone, server: Server) -> None:
    url = os.environ["DATABASE_ADMIN_URL"].rpartition("/")[0] + f"/{role()}"
    with pytest.raises(answers.WrongAnswer, match="NOSUPERUSER"):
        answers.database(url)
    checked = clone.sh(".venv/bin/python manage.py check --database default", DATABASE_URL=url)
    assert (checked.returncode, "requests_app.W032" in checked.stderr) == (0, True)

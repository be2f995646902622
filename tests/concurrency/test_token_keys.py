"""The first key for tokens, when several processes need it at the same time: one key is made, and it signs for all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jwt as other_library
import pytest
from django.conf import settings
from django.db import transaction

from requests_app.models import TokenKey
from requests_app.models.token_keys import public_keys, signed
from tests import ground
from tests.cast import Cast
from tests.concurrency.test_races import at_once

WRITERS = 6
#: Forks processes that have no connection yet. Each signs one token as soon as all others can, and prints its line.
_SIGN = """
import os, sys
import django
django.setup()
from requests_app.models.token_keys import public_keys, signed
waiting, go = os.pipe()
for number in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.close(go)
        os.read(waiting, 1)
        token = signed({"n": number}, typ="at+jwt")
        os.write(1, f"{token} {len(public_keys()['keys'])}\\n".encode())
        os._exit(0)
os.close(go)
sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(int(sys.argv[1]))))
"""


def kid_of(token: str) -> str:
    return str(other_library.get_unverified_header(token)["kid"])


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_connections_that_need_the_first_key_at_once_get_the_same(transactional_db: None, cast: Cast) -> None:
    found = at_once(*[lambda: signed({"n": 1}, typ="at+jwt")] * WRITERS)
    assert len({kid_of(token) for token in found}) == 1
    [row] = TokenKey.objects.all()
    assert (row.number, [each["kid"] for each in public_keys()["keys"]]) == (1, [row.kid])


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_key_whose_transaction_is_rolled_back_signs_nothing_that_anybody_gets(
    transactional_db: None, cast: Cast
) -> None:
    with transaction.atomic():
        lost = signed({}, typ="at+jwt")
        transaction.set_rollback(True)
    assert not TokenKey.objects.exists()
    assert kid_of(signed({}, typ="at+jwt")) != kid_of(lost)


@pytest.mark.sqlite
def test_processes_that_need_the_first_key_at_once_get_the_same(tmp_path: Path) -> None:
    shutil.copy(ground.sqlite(), tmp_path / "lockbox.sqlite3")
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    theirs = {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "SECRET_KEY": "k3y-" * 16}
    run = subprocess.run(
        [sys.executable, "-c", _SIGN, str(WRITERS)],
        cwd=settings.BASE_DIR, env=inherited | theirs, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    tokens, counts = zip(*map(str.split, run.stdout.splitlines()), strict=True)
    assert (len(tokens), len({kid_of(token) for token in tokens}), set(counts)) == (WRITERS, 1, {"1"})

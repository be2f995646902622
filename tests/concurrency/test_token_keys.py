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
#: Signs one token as soon as the file `argv[1]` is there.
_SIGN = """
import sys, time
from pathlib import Path
import django
django.setup()
from requests_app.models.token_keys import public_keys, signed
print("ready", flush=True)
while not Path(sys.argv[1]).exists():
    time.sleep(0.001)
print(signed({"n": int(sys.argv[2])}, typ="at+jwt"), flush=True)
print(len(public_keys()["keys"]), flush=True)
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
    start = tmp_path / "start"
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", _SIGN, str(start), str(number)],
            cwd=settings.BASE_DIR, env=inherited | theirs, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(WRITERS)
    ]  # fmt: skip
    try:
        for each in begun:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        start.touch()
        answers = [each.communicate(timeout=60) for each in begun]
    finally:
        for each in begun:
            each.kill()
            each.wait()
    assert [err[-2000:] for each, (_out, err) in zip(begun, answers, strict=True) if each.returncode] == []
    tokens, counts = zip(*[out.split() for out, _err in answers], strict=True)
    assert (len({kid_of(token) for token in tokens}), set(counts)) == (1, {"1"})

"""The committed document is what the code generates, and the client made from it can call a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from drf_spectacular.drainage import GENERATOR_STATS
from pytest_django.live_server_helper import LiveServer

from lockbox_client import AuthenticatedClient, models
from lockbox_client.api.access_requests import access_requests_approve, access_requests_list, access_requests_show
from lockbox_client.api.caller import step_up
from lockbox_client.models import (
    AccessRequestOut,
    DecisionInRequest,
    PaginatedAccessRequestLineList,
    Problem,
    StepUpInRequest,
)
from requests_app.doors.api.generator import Generator
from requests_app.management.commands import openapi
from requests_app.models import Grant
from tests.caller import token_of
from tests.cast import PASSWORD, Cast
from tests.clients.generated import PACKAGE, PLACE
from tests.factors import anybodys_code

STALE = "Write it: python manage.py openapi"


def test_git_tracks_no_generated_code() -> None:
    """The client is generated in a directory that git ignores, and where a package is built, git ignores it too."""
    listed = subprocess.run(
        ["git", "ls-files", "clients"], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    names = listed.stdout.splitlines()
    assert "clients/python/build_client.py" in names
    assert [name for name in names if PACKAGE.name in name] == []
    built = settings.BASE_DIR / "clients" / "python" / PACKAGE.name
    ignored = subprocess.run(
        ["git", "check-ignore", str(PACKAGE / "client.py"), str(built / "client.py")],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert len(ignored.stdout.splitlines()) == 2
    assert not PACKAGE.is_relative_to(settings.BASE_DIR / "clients")


def test_the_committed_document_is_the_codes() -> None:
    assert (settings.BASE_DIR / openapi.DOCUMENT).read_text() == openapi.text(), STALE


def test_the_document_is_made_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    GENERATOR_STATS.reset()
    Generator().get_schema(request=None, public=True)
    assert not GENERATOR_STATS, capsys.readouterr().err


def test_an_outdated_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(settings, "BASE_DIR", tmp_path)
    call_command("openapi", stdout=StringIO())
    call_command("openapi", check=True)
    document = json.loads((tmp_path / openapi.DOCUMENT).read_text())
    del document["paths"]["/api/v1/me"]
    (tmp_path / openapi.DOCUMENT).write_text(json.dumps(document))
    output = StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("openapi", check=True, stderr=output)
    assert end.value.code == 1
    assert "docs/openapi.json" in output.getvalue()


def test_a_model_is_imported_when_it_is_asked_for() -> None:
    asked = "import sys, lockbox_client.models as m; m.Problem; print(*(n for n in sys.modules if '.models.' in n))"
    done = subprocess.run([sys.executable, "-c", asked], cwd=PLACE, capture_output=True, text=True, check=True)
    assert "lockbox_client.models.problem" in done.stdout
    assert "lockbox_client.models.access_request_out" not in done.stdout
    assert all(hasattr(models, name) for name in models.__all__)
    assert models.Problem is Problem
    with pytest.raises(AttributeError):
        models.NothingOfTheKind  # noqa: B018 - asked for


def test_every_operation_has_its_module() -> None:
    document = json.loads((settings.BASE_DIR / openapi.DOCUMENT).read_text())
    wanted = {each["operationId"] for item in document["paths"].values() for each in item.values()}
    there = {path.stem for path in (PACKAGE / "api").glob("*/*.py")} - {"__init__"}
    assert there == wanted


@pytest.mark.django_db(transaction=True)
def test_a_program_decides_with_it(cast: Cast, live_server: LiveServer) -> None:
    row = cast.confirmed()
    with AuthenticatedClient(base_url=live_server.url, token=token_of(cast, "ada", fresh=False)) as client:
        page = access_requests_list.sync(client=client, state="PENDING_CUSTOMER")
        assert isinstance(page, PaginatedAccessRequestLineList)
        [line] = page.items
        assert (line.id, line.state) == (row.pk, "PENDING_CUSTOMER")
        read = access_requests_show.sync_detailed(row.pk, client=client)
        tag, body = read.headers["ETag"], DecisionInRequest(comment="Seen.")
        refused = access_requests_approve.sync(row.pk, client=client, body=body, if_match=tag)
        assert isinstance(refused, Problem)
        assert (refused.status, refused.code) == (403, "step_up_required")
        step_up.sync(client=client, body=StepUpInRequest(password=PASSWORD, code=anybodys_code()))
        found = access_requests_approve.sync(row.pk, client=client, body=body, if_match=tag, idempotency_key="once")
        assert isinstance(found, AccessRequestOut)
    assert found.grant is not None
    assert (found.state, found.grant.id) == ("OPEN", Grant.objects.get(access_request=row).pk)

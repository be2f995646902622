"""Evidence and exports in a real browser: the download arrives, and the page shows the progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from audit_app import checkpoints
from requests_app.domain import clock
from requests_app.models import AccessRequest, Tenant
from tests.audit.bundles import verified
from tests.browser.axe import check
from tests.browser.conftest import Visit


@pytest.fixture
def closed(world: None) -> AccessRequest:
    row: AccessRequest = AccessRequest.objects.filter(tenant__slug="contoso", state="CLOSED")[0]
    checkpoints.sign(row.tenant_id, at=clock.now())
    return row


@pytest.mark.parametrize("javascript", [True, False])
def test_an_auditor_downloads_the_evidence_of_an_access_request(
    visit: Visit, closed: AccessRequest, tmp_path: Path, javascript: bool
) -> None:
    otto = visit("otto.brandt", javascript=javascript)
    page = otto.goto(f"/access-requests/{closed.pk}/")
    otto.link("Download evidence")
    if javascript:
        check(page, widths=(360, 1280))
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download evidence").click()
    path = tmp_path / "taken.zip"
    coming.value.save_as(path)
    assert coming.value.suggested_filename.startswith(f"contoso-evidence-{closed.reference}-")
    assert verified(path.read_bytes(), tmp_path)[0] == 0
    if javascript:
        expect(page.locator("#download-progress")).to_contain_text("The file is complete")


@pytest.mark.parametrize("javascript", [True, False])
def test_an_auditor_exports_the_log(visit: Visit, world: None, tmp_path: Path, javascript: bool) -> None:
    otto = visit("otto.brandt", javascript=javascript)
    page = otto.goto(f"/log/{Tenant.objects.get(slug='contoso').pk}/")
    for kind, ending in (("CSV", ".csv"), ("JSON Lines", ".jsonl")):
        with page.expect_download() as coming:
            page.get_by_role("button", name=f"Export as {kind}").click()
        path = tmp_path / f"taken{ending}"
        coming.value.save_as(path)
        assert coming.value.suggested_filename.endswith(f"Z{ending}")
        lines = path.read_text().splitlines()
        if javascript:
            count = len(lines) - (kind == "CSV")
            expect(page.locator("#download-progress")).to_contain_text(f"The file is complete: {count} entries.")
    assert json.loads(lines[-1])["entry"]["event"] == "log.exported"

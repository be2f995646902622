"""Each service gets the connector that it names."""

from pathlib import Path

import pytest
from django.test import override_settings

from requests_app.content.connectors.base import ConnectorUnavailable
from requests_app.content.connectors.registry import KINDS, connector_for
from tests.connectors.cases import CASES, mail, make_maildir


def test_every_kind_is_held_to_the_contract() -> None:
    assert set(KINDS) == set(CASES)
    assert all(connector.kind == kind for kind, connector in KINDS.items())


def test_a_connector_reads_under_the_content_root_of_the_settings(tmp_path: Path) -> None:
    box = make_maildir(tmp_path / "contoso/mail/finance")
    (box / "cur" / "1762000000.M1.host:2,S").write_bytes(mail("Found"))
    with override_settings(CONTENT_ROOT=str(tmp_path)):
        (item,) = connector_for("maildir").list("contoso/mail/finance").items
    assert item.title == "Found"


@pytest.mark.parametrize("name", ["", "imap", "Maildir", "requests_app.content.connectors.maildir.Maildir"])
def test_an_unknown_connector_is_unavailable(name: str) -> None:
    with pytest.raises(ConnectorUnavailable):
        connector_for(name)

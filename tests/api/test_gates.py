"""The proxies of a web tool over the API."""

from __future__ import annotations

from hashlib import sha256

import pytest

from requests_app.domain.scopes import Scope
from tests.caller import Caller, access_token, caller_for, client_of
from tests.cast import GATE_RULES, Cast

pytestmark = pytest.mark.django_db


def test_a_client_of_the_provider_sets_up_a_gate_before_anybody_has_lockbox(cast: Cast) -> None:
    for tenant in (cast.contoso, cast.fabrikam, cast.northwind):
        type(tenant).objects.filter(pk=tenant.pk).update(lockbox_on=False, lockbox_first_on_at=None)
    client, secret = client_of(cast, None, Scope.PROVISION, Scope.TENANT_READ)
    caller = Caller(access_token(client, secret).json()["access_token"])
    tool = {"connector": "external", "application": "Pad", "link_template": "https://pad.example/{external_id}"}
    made = caller.post("services", {"key": "pad", "name": "Pad", **tool, "gate_rules": GATE_RULES})
    assert made.status_code == 201
    assert (made.json()["gate_rules"], made.json()["gate_identity"]) == (GATE_RULES, False)
    pk, secret_hash = made.json()["id"], sha256(b"secret").hexdigest()
    proxy = caller.post(f"services/{pk}/proxies", {"name": "Frankfurt", "secret_hash": secret_hash})
    assert proxy.status_code == 201
    assert (proxy.json()["fingerprint"], proxy.json()["removed_at"]) == (secret_hash[:12], None)
    assert secret_hash not in proxy.content.decode()
    [listed] = caller.get(f"services/{pk}/proxies").json()["items"]
    assert listed == proxy.json()
    assert caller.post(f"proxies/{proxy.json()['id']}/remove").status_code == 200
    assert caller.get(f"proxies/{proxy.json()['id']}").json()["removed_at"] is not None


@pytest.mark.parametrize("who", ["ines", "otto"])
def test_customers_see_the_rules_and_no_proxy(cast: Cast, who: str) -> None:
    row = cast.proxy()
    caller = caller_for(cast, who)
    assert caller.get(f"services/{row.service_id}").json()["gate_rules"] == GATE_RULES
    assert caller.get(f"services/{row.service_id}/proxies").json()["items"] == []
    assert caller.get(f"proxies/{row.pk}").status_code == 404

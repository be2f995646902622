"""What staff can do to callers of the API: manage the provider's clients, and end all others."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client as Browser
from django.utils.html import strip_tags

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.scopes import OF_CLIENTS, OF_PROVIDER_CLIENTS, Scope
from requests_app.models import Client, Person, Proposal, Token
from tests.admin.conftest import act_address, address
from tests.caller import Caller, access_token, client_of, token_of
from tests.cast import Cast
from tests.offenders import collected

pytestmark = pytest.mark.django_db


def newest() -> tuple[str, str]:
    entry = AuditEntry.objects.order_by("-id")[0]
    return entry.event, entry.door


def test_the_secret_is_the_answer_to_adding_and_is_never_shown_again(cast: Cast, staff: Browser) -> None:
    answer: Any = staff.post(address(Client, "add"), {"name": "Gateway", "scopes": ["grants:read"]})
    secret, client = answer.context["secret"], Client.objects.get()
    assert answer.status_code == 200
    assert f'data-copy="{secret}"' in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert (client.tenant, client.scopes, newest()) == (None, ["grants:read"], ("client.created", "admin"))
    assert access_token(client, secret).status_code == 200
    for where in (address(Client), address(Client, "change", client.pk), act_address(client, "rotate")):
        assert secret not in staff.get(where).content.decode()
    answer = staff.post(act_address(client, "rotate"))
    assert "no-store" in answer["Cache-Control"]
    assert access_token(client, secret).status_code != 200
    assert access_token(client, answer.context["secret"]).status_code == 200


def test_scopes_that_wait_are_announced_on_the_form_and_named_on_the_page(cast: Cast, staff: Browser) -> None:
    assert "gets some scopes later" in staff.get(address(Client, "add")).content.decode()
    staff.post(address(Client, "add"), {"name": "Quillo", "scopes": ["evaluate", "grants:read"]})
    client, proposal = Client.objects.get(), Proposal.objects.get()
    assert client.scopes == ["grants:read"]
    here, waits = address(Client, "change", client.pk), address(Proposal, "change", proposal.pk)
    assert waits in staff.get(here).content.decode()
    operations.withdraw_proposal(proposal.pk, actor=cast.as_("stella"))
    assert waits not in staff.get(here).content.decode()


def test_the_lines_for_an_application_are_there_while_the_scope_of_its_guard_waits(cast: Cast, staff: Browser) -> None:
    quillo = cast.quillo()
    fields = {"name": "Guard", "scopes": ["guard", "grants:read"], "service_id": str(quillo.pk)}
    html = staff.post(address(Client, "add"), fields).content.decode()
    client, proposal = Client.objects.get(), Proposal.objects.get()
    assert (client.service, client.scopes) == (None, ["grants:read"])
    here, waits = address(Client, "change", client.pk), address(Proposal, "change", proposal.pk)
    assert "can’t guard anything yet" in html
    assert f'href="{here}">I have saved it' in html
    assert here in staff.get(waits).content.decode()
    for page in (html, staff.get(here).content.decode()):
        for line in ('service="quillo",', 'origin="https://quillo.example",', 'service: "quillo", origin: "https://'):
            assert unescape(strip_tags(page)).count(line) == 1
        assert f'issuer="{settings.BASE_URL}"' in unescape(strip_tags(page))
        assert str(client.pk) in page
    operations.withdraw_proposal(proposal.pk, actor=cast.as_("stella"))
    assert line not in unescape(strip_tags(staff.get(here).content.decode()))


def test_staff_choose_the_application_that_a_client_guards(cast: Cast, staff: Browser) -> None:
    quillo = cast.quillo()
    page = staff.get(address(Client, "add")).content.decode()
    assert (str(quillo.pk) in page, str(cast.exchange.pk) in page) == (True, False)
    missing = staff.post(address(Client, "add"), {"name": "Quillo", "scopes": ["guard"]})
    assert "needs a service" in missing.content.decode()
    assert not Client.objects.exists()
    staff.post(address(Client, "add"), {"name": "Quillo", "scopes": ["guard"], "service_id": str(quillo.pk)})
    assert (Client.objects.get().scopes, Proposal.objects.get().act) == ([], "let_client_guard")
    row = cast.guard().row
    shown = staff.get(address(Client, "change", row.pk)).content.decode()
    assert quillo.name in shown
    # The form brings the client's own service, so a change of its other scopes keeps it.
    form = {"scopes": ["guard", "grants:read"], "service_id": str(quillo.pk)}
    assert staff.post(act_address(row, "change"), form).status_code == 302
    row.refresh_from_db()
    assert (row.scopes, row.service) == (["grants:read", "guard"], quillo)


def test_scopes_that_a_providers_client_never_gets_are_not_offered(cast: Cast, staff: Browser) -> None:
    with collected() as case:
        for scope in sorted(frozenset(Scope) - OF_PROVIDER_CLIENTS):
            with case(scope):
                assert scope not in staff.get(address(Client, "add")).content.decode()
                answer = staff.post(address(Client, "add"), {"name": "Gateway", "scopes": [scope]})
                assert answer.status_code == 200
                assert "Select a valid choice." in answer.content.decode()
                assert not Client.objects.exists()


def test_a_customers_client_can_be_ended_and_nothing_else(cast: Cast, staff: Browser) -> None:
    client, secret = client_of(cast, "contoso")
    page = staff.get(address(Client, "change", client.pk)).content.decode()
    assert act_address(client, "remove") in page
    for act in ("change", "rotate"):
        assert act_address(client, act) not in page
        form = {"scopes": ["log:read"]} if act == "change" else {}
        assert staff.post(act_address(client, act), form).status_code == 403
        assert newest() == ("act.refused", "admin")
    assert access_token(client, secret).status_code == 200
    client.refresh_from_db()
    assert client.scopes == [str(scope) for scope in Scope if scope in OF_CLIENTS]
    assert staff.post(act_address(client, "remove")).status_code == 302
    assert newest() == ("client.removed", "admin")
    assert access_token(client, secret).json() == {"error": "invalid_client"}
    assert act_address(client, "remove") not in staff.get(address(Client, "change", client.pk)).content.decode()


def test_the_account_of_a_client_is_no_person_to_be_managed(cast: Cast, staff: Browser) -> None:
    """If staff could switch on the account of a removed client, its old secret would work again."""
    client, secret = client_of(cast, "contoso")
    operations.remove_client(client.pk, actor=cast.as_("ines"))
    account = client.account
    page = staff.get(address(Person, "change", account.pk)).content.decode()
    for act in ("switch-on", "switch-off", "queue", "give-role"):
        assert act_address(account, act) not in page
    assert staff.post(act_address(account, "switch-on")).status_code == 404
    chosen = {"action": "switch-on", "_selected_action": [str(account.pk)], "index": "0"}
    staff.post(address(Person), chosen)
    account.refresh_from_db()
    assert not account.is_active
    assert access_token(client, secret).json() == {"error": "invalid_client"}


@pytest.mark.parametrize("name", ["mia", "ada", "priya"])
def test_staff_revoke_any_token_immediately(cast: Cast, staff: Browser, name: str) -> None:
    secret = token_of(cast, name, Scope.REQUESTS_READ)
    token = Token.objects.get()
    page = staff.get(address(Token, "change", token.pk)).content.decode()
    assert act_address(token, "revoke") in page
    assert (secret in page, token.secret_hash in page) == (False, False)
    assert staff.post(act_address(token, "revoke")).status_code == 302
    assert Caller(secret).get("me").status_code == 401
    assert newest() == ("token.revoked", "admin")
    assert act_address(token, "revoke") not in staff.get(address(Token, "change", token.pk)).content.decode()


def test_many_tokens_are_ended_together(cast: Cast, staff: Browser) -> None:
    secrets = [token_of(cast, name, Scope.REQUESTS_READ) for name in ("mia", "ada")]
    clients = [client_of(cast, tenant) for tenant in ("contoso", None)]
    for model, act in ((Token, "revoke"), (Client, "remove")):
        keys = [str(pk) for pk in model.objects.values_list("pk", flat=True)]
        assert staff.post(address(model), {"action": act, "_selected_action": keys, "index": "0"}).status_code == 302
    assert [Caller(secret).get("me").status_code for secret in secrets] == [401, 401]
    assert [access_token(*made).json() for made in clients] == [{"error": "invalid_client"}] * 2


def test_lists_lead_to_the_rows_themselves(cast: Cast, staff: Browser) -> None:
    client, _secret = client_of(cast)
    access = operations.issue_access_token(client, scopes=[Scope.LOG_READ]).row
    assert address(Client, "change", client.pk) in staff.get(address(Client)).content.decode()
    assert address(Token, "change", access.pk) in staff.get(address(Token)).content.decode()
    # A client's token lasts an hour, and ends with the client's secret.
    assert act_address(access, "revoke") not in staff.get(address(Token, "change", access.pk)).content.decode()


def test_the_page_of_a_person_lists_the_clients_that_stop_provisioning_with_them(cast: Cast, staff: Browser) -> None:
    cast.colleague()
    made = operations.create_client(name="Importer", scopes=["provision"], actor=cast.as_("stella")).row
    operations.rotate_client_secret(made.pk, actor=cast.as_("sten"))
    for person, column in ((cast.stella, "created_by"), (cast.people["sten"], "secret_by")):
        page = staff.get(address(Person, "change", person.pk)).content.decode()
        assert "Importer" in page
        assert "Importer" in staff.get(f"{address(Client)}?{column}={person.pk}").content.decode()
    assert "Importer" not in staff.get(address(Person, "change", cast.pat.pk)).content.decode()
    assert "Importer" not in staff.get(f"{address(Client)}?secret_by={cast.pat.pk}").content.decode()

"""After the keys in the settings were changed, everything that a former key encrypted is encrypted again."""

from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core.management import call_command

from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.identity import factors
from requests_app.identity.sso import sealing as sso_sealing
from requests_app.identity.sso.saml import service
from requests_app.messages.webhooks import sealing
from requests_app.models import SignOn, Webhook
from tests import saml_idp
from tests.cast import Cast
from tests.factors import SECRET, a_code

pytestmark = pytest.mark.django_db(transaction=True)


def _reseal() -> None:
    call_command("reseal", stdout=StringIO())


@pytest.mark.parametrize("run", [_reseal, tasks.tidy_webhooks])
def test_a_former_key_can_go(cast: Cast, settings: Any, run: Any) -> None:
    settings.SECOND_FACTOR_KEYS = settings.WEBHOOK_KEYS = ["first"]
    Authenticator.objects.filter(user=cast.ada).delete()
    Authenticator.objects.create(user=cast.ada, type="totp", data={"secret": factors.seal(SECRET), "last_step": 7})
    codes = RecoveryCodes.activate(cast.ada).get_unused_codes()
    url, events = "http://127.0.0.1:9/", ("ticket.opened",)
    issued = operations.add_webhook(cast.contoso.pk, url=url, events=events, actor=cast.as_("ines"))
    settings.SECOND_FACTOR_KEYS = settings.WEBHOOK_KEYS = ["second", "first"]
    run()
    settings.SECOND_FACTOR_KEYS = settings.WEBHOOK_KEYS = ["second"]
    assert Authenticator.objects.get(user=cast.ada, type="totp").data["last_step"] == 7
    assert factors.is_code(cast.ada, a_code(), at=clock.now())
    assert factors.is_code(cast.ada, codes[0], at=clock.now())
    assert sealing.opened(Webhook.objects.get().sealed) == issued.keys


@pytest.mark.parametrize("run", [_reseal, tasks.tidy_webhooks])
def test_the_keys_of_saml_are_encrypted_again(cast: Cast, settings: Any, run: Any) -> None:
    settings.WEBHOOK_KEYS = ["first"]
    connection = operations.Connection(protocol="saml", metadata=saml_idp.metadata().decode(), role_map={})
    row = operations.set_sign_on(cast.contoso.pk, connection=connection, was=None, actor=cast.as_("ines"))
    keys = service.unpacked(sso_sealing.opened(row.sealed_keys))
    settings.WEBHOOK_KEYS = ["second", "first"]
    run()
    settings.WEBHOOK_KEYS = ["second"]
    assert service.unpacked(sso_sealing.opened(SignOn.objects.get().sealed_keys)) == keys
    settings.WEBHOOK_KEYS = ["first"]
    with pytest.raises(sso_sealing.Unreadable):
        sso_sealing.opened(SignOn.objects.get().sealed_keys)


def test_a_value_that_no_key_opens_stays_unchanged(cast: Cast, settings: Any) -> None:
    settings.SECOND_FACTOR_KEYS = ["lost"]
    Authenticator.objects.filter(user=cast.ada).update(data={"secret": factors.seal(SECRET)})
    settings.SECOND_FACTOR_KEYS = ["second"]
    _reseal()
    settings.SECOND_FACTOR_KEYS = ["lost"]
    assert factors.is_code(cast.ada, a_code(), at=clock.now())

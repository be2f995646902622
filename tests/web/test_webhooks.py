"""The pages of a tenant's webhooks: only its administrator sees them, and each secret is shown once."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from requests_app import operations
from requests_app.messages.webhooks import sealing
from requests_app.models import OutboxMessage, Webhook, WebhookAttempt
from tests.cast import Cast, events_in
from tests.web.pages import nothing_happens, only_a_refusal, queries_of, same_queries, signed_in

pytestmark = pytest.mark.django_db

URL = "https://hooks.contoso.example/canary-path"
FORM = {"url": URL, "label": "Help desk", "events": ["ticket.opened", "grant.closed"]}


def page(cast: Cast, name: str = "webhooks", *more: Any) -> str:
    return reverse(f"web:{name}", args=[cast.contoso.pk, *more])


def add(cast: Cast, **fields: Any) -> Webhook:
    return operations.add_webhook(cast.contoso.pk, actor=cast.as_("ines"), **{**FORM, **fields}).webhook


def tried(cast: Cast, webhook: Webhook, status: int | None = 503, problem: str = "") -> OutboxMessage:
    message = operations.send_webhook_test(webhook.pk, actor=cast.as_("ines"))
    OutboxMessage.objects.filter(pk=message.pk).update(state="parked", attempts=1)
    WebhookAttempt.objects.create(
        webhook=webhook,
        message=message,
        tenant=cast.contoso,
        at=message.created_at,
        status=status,
        problem=problem,
        milliseconds=1234,
        answer="<b>Try later</b>",
    )
    return message


def test_the_secret_is_the_answer_to_adding_and_is_never_shown_again(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    answer = client.post(page(cast), FORM)
    keys = sealing.opened(Webhook.objects.get().sealed)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert keys.whsec in text
    assert keys.whpk in text
    assert keys.whsk not in text
    assert "no-store" in answer["Cache-Control"]
    webhook = Webhook.objects.get()
    for name in ("webhook", "webhook_change", "webhook_rotate", "webhook_remove"):
        shown = client.get(page(cast, name, webhook.pk)).content.decode()
        assert keys.whsec.removeprefix("whsec_") not in shown
    assert keys.whpk in client.get(page(cast, "webhook", webhook.pk)).content.decode()


def test_a_new_secret_is_shown_once_too(cast: Cast) -> None:
    webhook, client = add(cast), signed_in(cast, "ines")
    with nothing_happens():
        assert "24 hours" in client.get(page(cast, "webhook_rotate", webhook.pk)).content.decode()
    answer = client.post(page(cast, "webhook_rotate", webhook.pk))
    assert answer.context["secret"] in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    shown = client.get(page(cast, "webhook", webhook.pk)).content.decode()
    assert "Former secret" in shown
    assert answer.context["secret"] not in shown


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_the_pages_are_for_the_administrator_alone(cast: Cast, name: str) -> None:
    webhook = add(cast)
    message = tried(cast, webhook)
    client = signed_in(cast, name)
    for where in (
        page(cast),
        *(page(cast, each, webhook.pk) for each in ("webhook", "webhook_change", "webhook_rotate", "webhook_remove")),
        page(cast, "webhook_delivery", webhook.pk, message.pk),
    ):
        with nothing_happens():
            answer = client.get(where)
        assert answer.status_code == 403, where
        assert "canary" not in answer.content.decode()
    tab = page(cast)
    assert tab not in client.get(reverse("web:tenant", args=[cast.contoso.pk])).content.decode()


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_nobody_else_changes_anything(cast: Cast, name: str) -> None:
    webhook = add(cast)
    message = tried(cast, webhook)
    client = signed_in(cast, name)
    for where, form in [
        (page(cast), FORM),
        (page(cast, "webhook", webhook.pk), {"act": "test"}),
        (page(cast, "webhook", webhook.pk), {"act": "off"}),
        (page(cast, "webhook_change", webhook.pk), {**FORM, "label": "x"}),
        (page(cast, "webhook_rotate", webhook.pk), {}),
        (page(cast, "webhook_remove", webhook.pk), {}),
        (page(cast, "webhook_delivery", webhook.pk, message.pk), {}),
    ]:
        before = list(Webhook.objects.values())
        with only_a_refusal():
            assert client.post(where, form).status_code == 403, where
        assert list(Webhook.objects.values()) == before


def test_the_administrator_is_led_there(cast: Cast) -> None:
    assert page(cast) in signed_in(cast, "ines").get(reverse("web:tenant", args=[cast.contoso.pk])).content.decode()


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({**FORM, "url": "https://10.0.0.1/"}, "not on the public internet"),
        ({**FORM, "events": []}, "Choose at least one event."),
        ({**FORM, "events": ["no.such"]}, "no.such"),
        ({**FORM, "url": ""}, "Fill in this field."),
    ],
)
def test_a_wrong_value_is_explained_beside_the_field(
    cast: Cast, settings: Any, form: dict[str, Any], words: str
) -> None:
    settings.WEBHOOK_PRIVATE_NETWORK = False
    answer = signed_in(cast, "ines").post(page(cast), form)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Webhook.objects.exists()


def test_a_field_that_the_form_lacks_is_refused(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    with nothing_happens():
        for extra in ({"is_on": "off"}, {"tenant": str(cast.fabrikam.pk)}, {"label": ["a", "b"]}):
            assert client.post(page(cast), {**FORM, **extra}).status_code == 400


def test_its_buttons_test_it_and_switch_it(cast: Cast) -> None:
    webhook, client = add(cast), signed_in(cast, "ines")
    where = page(cast, "webhook", webhook.pk)
    for act, event in (("test", "tested"), ("off", "disabled"), ("on", "enabled")):
        assert client.post(where, {"act": act}).status_code == 302
        assert events_in(cast.contoso)[-1] == f"webhook.{event}"
    assert client.post(where, {"act": "delete"}).status_code == 400
    assert client.post(where, {"act": "on"}).status_code == 409


def test_a_webhook_that_is_off_says_why_and_how_it_continues(cast: Cast) -> None:
    webhook = add(cast)
    operations.give_up_webhook(webhook.pk, because="gone", actor=cast.system("webhooks"))
    text = signed_in(cast, "ines").get(page(cast, "webhook", webhook.pk)).content.decode()
    assert "The receiver answered that its address no longer exists (410)." in text
    assert "but it leaves out messages that are older than three days." in text
    assert "Switch on" in text


def test_a_delivery_shows_what_was_sent_and_what_was_answered_and_is_sent_again(cast: Cast) -> None:
    webhook, client = add(cast), signed_in(cast, "ines")
    message = tried(cast, webhook)
    where = page(cast, "webhook_delivery", webhook.pk, message.pk)
    text = client.get(where).content.decode()
    assert "&quot;webhook.test&quot;" in text
    assert "status 503" in text
    assert "&lt;b&gt;Try later&lt;/b&gt;" in text
    assert "1,234" in text
    assert client.post(where).status_code == 302
    assert OutboxMessage.objects.get(pk=message.pk).state == "waiting"
    assert client.post(where).status_code == 409


def test_a_delivery_of_another_webhook_is_absent(cast: Cast) -> None:
    first, second = add(cast), add(cast)
    message = tried(cast, first)
    client = signed_in(cast, "ines")
    assert client.get(page(cast, "webhook_delivery", second.pk, message.pk)).status_code == 404
    assert client.get(page(cast, "webhook", second.pk) + f"?before={message.pk}").status_code == 404
    assert client.get(page(cast, "webhook", second.pk) + "?before=x").status_code == 404


def test_deliveries_are_paged_and_cost_the_same(cast: Cast) -> None:
    webhook, client = add(cast), signed_in(cast, "ines")
    where = page(cast, "webhook", webhook.pk)
    for _ in range(2):
        tried(cast, webhook, None, "timeout")

    def grow() -> None:
        for _ in range(30):
            tried(cast, webhook)

    same_queries(lambda: queries_of(client, where), grow)
    first = client.get(where)
    assert len(first.context["deliveries"]) == 25
    second = client.get(where + first.context["older_url"])
    assert len(second.context["deliveries"]) == 7
    assert "The server did not finish its answer within 15 seconds." in second.content.decode()
    shown = {row.message.pk for answer in (first, second) for row in answer.context["deliveries"]}
    assert len(shown) == 32


def test_messages_that_were_given_up_are_counted_and_listed_by_themselves(cast: Cast) -> None:
    webhook, client = add(cast), signed_in(cast, "ines")
    where = page(cast, "webhook", webhook.pk)
    parked = [tried(cast, webhook) for _ in range(27)]
    OutboxMessage.objects.filter(pk=parked[0].pk).update(state="delivered")
    assert "26 messages could not be delivered. You can send them again." in client.get(where).content.decode()
    first = client.get(where + "?state=parked")
    second = client.get(where + first.context["older_url"])
    shown = [row.message.pk for answer in (first, second) for row in answer.context["deliveries"]]
    assert shown == [message.pk for message in reversed(parked[1:])]
    assert "state=parked" in second.context["newer_url"]


def test_a_removed_one_is_gone_from_every_page(cast: Cast) -> None:
    webhook, client = add(cast), signed_in(cast, "ines")
    with nothing_happens():
        assert client.get(page(cast, "webhook_remove", webhook.pk)).status_code == 200
    assert client.post(page(cast, "webhook_remove", webhook.pk)).status_code == 302
    assert client.get(page(cast, "webhook", webhook.pk)).status_code == 404
    assert str(webhook.pk) not in client.get(page(cast)).content.decode()


def test_on_an_administrators_page_of_the_portal_a_customers_path_is_not_shown(cast: Cast) -> None:
    webhook = add(cast)
    text = signed_in(cast, "stella").get(reverse("admin:requests_app_webhook_change", args=[webhook.pk]))
    assert "https://hooks.contoso.example" in text.content.decode()
    assert "canary" not in text.content.decode()

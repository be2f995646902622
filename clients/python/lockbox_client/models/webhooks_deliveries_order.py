from typing import Literal

WebhooksDeliveriesOrder = Literal["-created_at", "created_at"]

WEBHOOKS_DELIVERIES_ORDER_VALUES: set[WebhooksDeliveriesOrder] = {
    "-created_at",
    "created_at",
}


def check_webhooks_deliveries_order(value: str) -> WebhooksDeliveriesOrder:
    if value in WEBHOOKS_DELIVERIES_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {WEBHOOKS_DELIVERIES_ORDER_VALUES!r}")

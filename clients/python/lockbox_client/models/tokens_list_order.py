from typing import Literal

TokensListOrder = Literal["-created_at", "created_at"]

TOKENS_LIST_ORDER_VALUES: set[TokensListOrder] = {
    "-created_at",
    "created_at",
}


def check_tokens_list_order(value: str) -> TokensListOrder:
    if value in TOKENS_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TOKENS_LIST_ORDER_VALUES!r}")

from typing import Literal

GrantsAccessesOrder = Literal["-at", "at"]

GRANTS_ACCESSES_ORDER_VALUES: set[GrantsAccessesOrder] = {
    "-at",
    "at",
}


def check_grants_accesses_order(value: str) -> GrantsAccessesOrder:
    if value in GRANTS_ACCESSES_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {GRANTS_ACCESSES_ORDER_VALUES!r}")

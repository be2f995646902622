from typing import Literal

AccessRequestsListOrder = Literal["-submitted_at", "decide_by", "submitted_at"]

ACCESS_REQUESTS_LIST_ORDER_VALUES: set[AccessRequestsListOrder] = {
    "-submitted_at",
    "decide_by",
    "submitted_at",
}


def check_access_requests_list_order(value: str) -> AccessRequestsListOrder:
    if value in ACCESS_REQUESTS_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ACCESS_REQUESTS_LIST_ORDER_VALUES!r}")

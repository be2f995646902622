from typing import Literal

AccessRequestsListState = Literal[
    "CLOSED", "DENIED", "EXPIRED", "OPEN", "PENDING_CUSTOMER", "PENDING_PROVIDER", "WITHDRAWN"
]

ACCESS_REQUESTS_LIST_STATE_VALUES: set[AccessRequestsListState] = {
    "CLOSED",
    "DENIED",
    "EXPIRED",
    "OPEN",
    "PENDING_CUSTOMER",
    "PENDING_PROVIDER",
    "WITHDRAWN",
}


def check_access_requests_list_state(value: str) -> AccessRequestsListState:
    if value in ACCESS_REQUESTS_LIST_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ACCESS_REQUESTS_LIST_STATE_VALUES!r}")

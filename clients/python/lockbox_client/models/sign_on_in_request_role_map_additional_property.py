from typing import Literal

SignOnInRequestRoleMapAdditionalProperty = Literal["administrator", "approver", "auditor", "deputy", "member"]

SIGN_ON_IN_REQUEST_ROLE_MAP_ADDITIONAL_PROPERTY_VALUES: set[SignOnInRequestRoleMapAdditionalProperty] = {
    "administrator",
    "approver",
    "auditor",
    "deputy",
    "member",
}


def check_sign_on_in_request_role_map_additional_property(value: str) -> SignOnInRequestRoleMapAdditionalProperty:
    if value in SIGN_ON_IN_REQUEST_ROLE_MAP_ADDITIONAL_PROPERTY_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {SIGN_ON_IN_REQUEST_ROLE_MAP_ADDITIONAL_PROPERTY_VALUES!r}"
    )

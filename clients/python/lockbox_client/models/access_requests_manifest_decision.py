from typing import Literal

AccessRequestsManifestDecision = Literal["approve", "deny"]

ACCESS_REQUESTS_MANIFEST_DECISION_VALUES: set[AccessRequestsManifestDecision] = {
    "approve",
    "deny",
}


def check_access_requests_manifest_decision(value: str) -> AccessRequestsManifestDecision:
    if value in ACCESS_REQUESTS_MANIFEST_DECISION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ACCESS_REQUESTS_MANIFEST_DECISION_VALUES!r}")

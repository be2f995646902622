from typing import Literal

ScopesEnum = Literal[
    "decisions:write",
    "evaluate",
    "grants:close",
    "grants:read",
    "log:read",
    "members:manage",
    "members:provision",
    "members:read",
    "requests:read",
    "requests:submit",
    "sign-on:manage",
    "tenant:manage",
    "tenant:read",
    "tickets:read",
    "tickets:write",
    "tokens:manage",
    "webhooks:manage",
]

SCOPES_ENUM_VALUES: set[ScopesEnum] = {
    "decisions:write",
    "evaluate",
    "grants:close",
    "grants:read",
    "log:read",
    "members:manage",
    "members:provision",
    "members:read",
    "requests:read",
    "requests:submit",
    "sign-on:manage",
    "tenant:manage",
    "tenant:read",
    "tickets:read",
    "tickets:write",
    "tokens:manage",
    "webhooks:manage",
}


def check_scopes_enum(value: str) -> ScopesEnum:
    if value in SCOPES_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SCOPES_ENUM_VALUES!r}")

"""A web tool behind the proxy of this product, and an open window on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from requests_app.models import Grant
from tests.cast import Cast
from tests.grant_tokens import grant_token
from tests.proxies import tool_stand
from tests.proxies.tool_stand import Running, Tool

RULES = (
    "view GET /tenants/{resource}/events stream\nview GET /tenants/{resource}/ws upgrade\n"
    "view GET,POST /tenants/{resource}/** query=x,y"
)


@pytest.fixture
def tool() -> Iterator[Tool]:
    with tool_stand.tool() as found:
        yield found


@pytest.fixture
def grant(cast: Cast, tool: Tool) -> Grant:
    cast.web_tool(gate_identity=True, gate_rules=RULES, gate_upstream=tool.address)
    return cast.in_quillo()


@pytest.fixture
def proxy(grant: Grant) -> Iterator[Running]:
    with tool_stand.proxy() as found:
        yield found


@pytest.fixture
def token(grant: Grant) -> dict[str, str]:
    return {"Lockbox-Grant": grant_token(grant)}

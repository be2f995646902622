"""A case of an act: does the same act on the same kind of row through each interface that offers the act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.test import Client

from requests_app.domain.scopes import Scope
from tests.caller import Caller
from tests.cast import Cast

#: A call of the API, by a caller who has a token.
Call = Callable[[Cast, Caller, Any], Any]


@dataclass(frozen=True)
class Case:
    """One act. `prepare` makes the row, and each other function does the act on the row through one interface."""

    #: None is a client of the provider, which can use neither pages nor the administration.
    who: str | None
    prepare: Callable[[Cast], Any]
    operation: Callable[[Cast, Any, Any], Any]
    page: Callable[[Cast, Client, Any], Any] | None = None
    admin: Callable[[Cast, Client, Any], Any] | None = None
    api: Call | None = None
    #: The same act through Azure's contract.
    azure: Call | None = None
    #: The status of the page's response. It is 200 if the response shows a secret, which no page shows again.
    status: int = 302
    #: The scope of the provider's client.
    scope: Scope = Scope.EVALUATE

    @property
    def calls(self) -> list[Call]:
        return [call for call in (self.api, self.azure) if call is not None]

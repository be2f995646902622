"""A case of an act: the same act on the same row, once through each interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.test import Client

from tests.caller import Caller
from tests.cast import Cast

#: A call of the API, by a caller who has a token.
Call = Callable[[Cast, Caller, Any], Any]


@dataclass(frozen=True)
class Case:
    """`prepare` makes the row; the other functions do the same act on it, each through its interface."""

    #: None is a client of the provider's, which has neither pages nor the administration.
    who: str | None
    prepare: Callable[[Cast], Any]
    operation: Callable[[Cast, Any, Any], Any]
    page: Callable[[Cast, Client, Any], Any] | None = None
    admin: Callable[[Cast, Client, Any], Any] | None = None
    api: Call | None = None
    #: The same through Azure's contract.
    azure: Call | None = None
    #: What a page answers; 200 where the answer shows what was made and will never be shown again.
    status: int = 302

    @property
    def calls(self) -> list[Call]:
        return [call for call in (self.api, self.azure) if call is not None]

from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.paginated_token_out_list import PaginatedTokenOutList
from ...models.problem import Problem
from ...models.tokens_list_order import TokensListOrder
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: TokensListOrder | Unset = "-created_at",
    owner: UUID | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["fields"] = fields

    params["is_live"] = is_live

    params["limit"] = limit

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    json_owner: str | Unset = UNSET
    if not isinstance(owner, Unset):
        json_owner = str(owner)
    params["owner"] = json_owner

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/tokens",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> PaginatedTokenOutList | Problem | None:
    if response.status_code == 200:
        response_200 = PaginatedTokenOutList.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 406:
        response_406 = Problem.from_dict(response.json())

        return response_406

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = Problem.from_dict(response.json())

        return response_429

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[PaginatedTokenOutList | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: TokensListOrder | Unset = "-created_at",
    owner: UUID | Unset = UNSET,
) -> Response[PaginatedTokenOutList | Problem]:
    """List personal tokens, and those of directories

     The caller's own, and for an administrator those of the tenant's people and directories.

    Scope: `tokens:manage`.

    Args:
        cursor (str | Unset):
        fields (str | Unset):
        is_live (bool | Unset):
        limit (int | Unset):
        order (TokensListOrder | Unset):  Default: '-created_at'.
        owner (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedTokenOutList | Problem]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        fields=fields,
        is_live=is_live,
        limit=limit,
        order=order,
        owner=owner,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: TokensListOrder | Unset = "-created_at",
    owner: UUID | Unset = UNSET,
) -> PaginatedTokenOutList | Problem | None:
    """List personal tokens, and those of directories

     The caller's own, and for an administrator those of the tenant's people and directories.

    Scope: `tokens:manage`.

    Args:
        cursor (str | Unset):
        fields (str | Unset):
        is_live (bool | Unset):
        limit (int | Unset):
        order (TokensListOrder | Unset):  Default: '-created_at'.
        owner (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedTokenOutList | Problem
    """

    return sync_detailed(
        client=client,
        cursor=cursor,
        fields=fields,
        is_live=is_live,
        limit=limit,
        order=order,
        owner=owner,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: TokensListOrder | Unset = "-created_at",
    owner: UUID | Unset = UNSET,
) -> Response[PaginatedTokenOutList | Problem]:
    """List personal tokens, and those of directories

     The caller's own, and for an administrator those of the tenant's people and directories.

    Scope: `tokens:manage`.

    Args:
        cursor (str | Unset):
        fields (str | Unset):
        is_live (bool | Unset):
        limit (int | Unset):
        order (TokensListOrder | Unset):  Default: '-created_at'.
        owner (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedTokenOutList | Problem]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        fields=fields,
        is_live=is_live,
        limit=limit,
        order=order,
        owner=owner,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: TokensListOrder | Unset = "-created_at",
    owner: UUID | Unset = UNSET,
) -> PaginatedTokenOutList | Problem | None:
    """List personal tokens, and those of directories

     The caller's own, and for an administrator those of the tenant's people and directories.

    Scope: `tokens:manage`.

    Args:
        cursor (str | Unset):
        fields (str | Unset):
        is_live (bool | Unset):
        limit (int | Unset):
        order (TokensListOrder | Unset):  Default: '-created_at'.
        owner (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedTokenOutList | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            cursor=cursor,
            fields=fields,
            is_live=is_live,
            limit=limit,
            order=order,
            owner=owner,
        )
    ).parsed

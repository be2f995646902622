from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.paginated_checkpoint_line_list import PaginatedCheckpointLineList
from ...models.problem import Problem
from ...models.provider_log_checkpoints_order import (
    ProviderLogCheckpointsOrder,
)
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: ProviderLogCheckpointsOrder | Unset = "-size",
    shard: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["fields"] = fields

    params["limit"] = limit

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    params["shard"] = shard

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/log/checkpoints",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> PaginatedCheckpointLineList | Problem | None:
    if response.status_code == 200:
        response_200 = PaginatedCheckpointLineList.from_dict(response.json())

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
) -> Response[PaginatedCheckpointLineList | Problem]:
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
    limit: int | Unset = UNSET,
    order: ProviderLogCheckpointsOrder | Unset = "-size",
    shard: int | Unset = UNSET,
) -> Response[PaginatedCheckpointLineList | Problem]:
    """List the checkpoints of the provider's own log

     For staff.

    Scope: `log:read`.

    Args:
        cursor (str | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (ProviderLogCheckpointsOrder | Unset):  Default: '-size'.
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedCheckpointLineList | Problem]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        fields=fields,
        limit=limit,
        order=order,
        shard=shard,
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
    limit: int | Unset = UNSET,
    order: ProviderLogCheckpointsOrder | Unset = "-size",
    shard: int | Unset = UNSET,
) -> PaginatedCheckpointLineList | Problem | None:
    """List the checkpoints of the provider's own log

     For staff.

    Scope: `log:read`.

    Args:
        cursor (str | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (ProviderLogCheckpointsOrder | Unset):  Default: '-size'.
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedCheckpointLineList | Problem
    """

    return sync_detailed(
        client=client,
        cursor=cursor,
        fields=fields,
        limit=limit,
        order=order,
        shard=shard,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: ProviderLogCheckpointsOrder | Unset = "-size",
    shard: int | Unset = UNSET,
) -> Response[PaginatedCheckpointLineList | Problem]:
    """List the checkpoints of the provider's own log

     For staff.

    Scope: `log:read`.

    Args:
        cursor (str | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (ProviderLogCheckpointsOrder | Unset):  Default: '-size'.
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedCheckpointLineList | Problem]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        fields=fields,
        limit=limit,
        order=order,
        shard=shard,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: ProviderLogCheckpointsOrder | Unset = "-size",
    shard: int | Unset = UNSET,
) -> PaginatedCheckpointLineList | Problem | None:
    """List the checkpoints of the provider's own log

     For staff.

    Scope: `log:read`.

    Args:
        cursor (str | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (ProviderLogCheckpointsOrder | Unset):  Default: '-size'.
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedCheckpointLineList | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            cursor=cursor,
            fields=fields,
            limit=limit,
            order=order,
            shard=shard,
        )
    ).parsed

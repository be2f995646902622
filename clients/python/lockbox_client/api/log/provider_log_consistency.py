from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.growth_out import GrowthOut
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    old: int,
    new: int,
    *,
    shard: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["shard"] = shard

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/log/consistency/{old}/{new}".format(
            old=quote(str(old), safe=""),
            new=quote(str(new), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> GrowthOut | Problem | None:
    if response.status_code == 200:
        response_200 = GrowthOut.from_dict(response.json())

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

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[GrowthOut | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    old: int,
    new: int,
    *,
    client: AuthenticatedClient,
    shard: int | Unset = UNSET,
) -> Response[GrowthOut | Problem]:
    """Prove that a checkpoint of the provider's own log continues an older one

     For staff.

    Scope: `log:read`.

    Args:
        old (int):
        new (int):
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[GrowthOut | Problem]
    """

    kwargs = _get_kwargs(
        old=old,
        new=new,
        shard=shard,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    old: int,
    new: int,
    *,
    client: AuthenticatedClient,
    shard: int | Unset = UNSET,
) -> GrowthOut | Problem | None:
    """Prove that a checkpoint of the provider's own log continues an older one

     For staff.

    Scope: `log:read`.

    Args:
        old (int):
        new (int):
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GrowthOut | Problem
    """

    return sync_detailed(
        old=old,
        new=new,
        client=client,
        shard=shard,
    ).parsed


async def asyncio_detailed(
    old: int,
    new: int,
    *,
    client: AuthenticatedClient,
    shard: int | Unset = UNSET,
) -> Response[GrowthOut | Problem]:
    """Prove that a checkpoint of the provider's own log continues an older one

     For staff.

    Scope: `log:read`.

    Args:
        old (int):
        new (int):
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[GrowthOut | Problem]
    """

    kwargs = _get_kwargs(
        old=old,
        new=new,
        shard=shard,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    old: int,
    new: int,
    *,
    client: AuthenticatedClient,
    shard: int | Unset = UNSET,
) -> GrowthOut | Problem | None:
    """Prove that a checkpoint of the provider's own log continues an older one

     For staff.

    Scope: `log:read`.

    Args:
        old (int):
        new (int):
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GrowthOut | Problem
    """

    return (
        await asyncio_detailed(
            old=old,
            new=new,
            client=client,
            shard=shard,
        )
    ).parsed

from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.checkpoint_out import CheckpointOut
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    shard: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["shard"] = shard

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/log/checkpoint",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> CheckpointOut | Problem | None:
    if response.status_code == 200:
        response_200 = CheckpointOut.from_dict(response.json())

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


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[CheckpointOut | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    shard: int | Unset = UNSET,
) -> Response[CheckpointOut | Problem]:
    """Read the newest checkpoint of the provider's own log

     For staff.

    Scope: `log:read`.

    Args:
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CheckpointOut | Problem]
    """

    kwargs = _get_kwargs(
        shard=shard,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    shard: int | Unset = UNSET,
) -> CheckpointOut | Problem | None:
    """Read the newest checkpoint of the provider's own log

     For staff.

    Scope: `log:read`.

    Args:
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CheckpointOut | Problem
    """

    return sync_detailed(
        client=client,
        shard=shard,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    shard: int | Unset = UNSET,
) -> Response[CheckpointOut | Problem]:
    """Read the newest checkpoint of the provider's own log

     For staff.

    Scope: `log:read`.

    Args:
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CheckpointOut | Problem]
    """

    kwargs = _get_kwargs(
        shard=shard,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    shard: int | Unset = UNSET,
) -> CheckpointOut | Problem | None:
    """Read the newest checkpoint of the provider's own log

     For staff.

    Scope: `log:read`.

    Args:
        shard (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CheckpointOut | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            shard=shard,
        )
    ).parsed

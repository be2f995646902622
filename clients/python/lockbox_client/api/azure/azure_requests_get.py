from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.azure_error import AzureError
from ...models.azure_request import AzureRequest
from ...models.azure_requests_get_api_version import (
    AzureRequestsGetApiVersion,
)
from ...types import UNSET, Response


def _get_kwargs(
    subscription: UUID,
    id: UUID,
    *,
    api_version: AzureRequestsGetApiVersion,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_api_version: str = api_version
    params["api-version"] = json_api_version

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/subscriptions/{subscription}/providers/Microsoft.CustomerLockbox/requests/{id}".format(
            subscription=quote(str(subscription), safe=""),
            id=quote(str(id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> AzureError | AzureRequest | None:
    if response.status_code == 200:
        response_200 = AzureRequest.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = AzureError.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = AzureError.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = AzureError.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = AzureError.from_dict(response.json())

        return response_404

    if response.status_code == 406:
        response_406 = AzureError.from_dict(response.json())

        return response_406

    if response.status_code == 422:
        response_422 = AzureError.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = AzureError.from_dict(response.json())

        return response_429

    if response.status_code == 503:
        response_503 = AzureError.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[AzureError | AzureRequest]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    subscription: UUID,
    id: UUID,
    *,
    client: AuthenticatedClient,
    api_version: AzureRequestsGetApiVersion,
) -> Response[AzureError | AzureRequest]:
    """Read one access request

     Scope: `requests:read`.

    Args:
        subscription (UUID):
        id (UUID):
        api_version (AzureRequestsGetApiVersion):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AzureError | AzureRequest]
    """

    kwargs = _get_kwargs(
        subscription=subscription,
        id=id,
        api_version=api_version,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    subscription: UUID,
    id: UUID,
    *,
    client: AuthenticatedClient,
    api_version: AzureRequestsGetApiVersion,
) -> AzureError | AzureRequest | None:
    """Read one access request

     Scope: `requests:read`.

    Args:
        subscription (UUID):
        id (UUID):
        api_version (AzureRequestsGetApiVersion):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AzureError | AzureRequest
    """

    return sync_detailed(
        subscription=subscription,
        id=id,
        client=client,
        api_version=api_version,
    ).parsed


async def asyncio_detailed(
    subscription: UUID,
    id: UUID,
    *,
    client: AuthenticatedClient,
    api_version: AzureRequestsGetApiVersion,
) -> Response[AzureError | AzureRequest]:
    """Read one access request

     Scope: `requests:read`.

    Args:
        subscription (UUID):
        id (UUID):
        api_version (AzureRequestsGetApiVersion):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AzureError | AzureRequest]
    """

    kwargs = _get_kwargs(
        subscription=subscription,
        id=id,
        api_version=api_version,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    subscription: UUID,
    id: UUID,
    *,
    client: AuthenticatedClient,
    api_version: AzureRequestsGetApiVersion,
) -> AzureError | AzureRequest | None:
    """Read one access request

     Scope: `requests:read`.

    Args:
        subscription (UUID):
        id (UUID):
        api_version (AzureRequestsGetApiVersion):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AzureError | AzureRequest
    """

    return (
        await asyncio_detailed(
            subscription=subscription,
            id=id,
            client=client,
            api_version=api_version,
        )
    ).parsed

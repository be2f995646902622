from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.azure_error import AzureError
from ...models.azure_opted_in import AzureOptedIn
from ...models.azure_tenant_opted_in_api_version import (
    AzureTenantOptedInApiVersion,
)
from ...types import UNSET, Response


def _get_kwargs(
    tenant: UUID,
    *,
    api_version: AzureTenantOptedInApiVersion,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_api_version: str = api_version
    params["api-version"] = json_api_version

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/providers/Microsoft.CustomerLockbox/tenantOptedIn/{tenant}".format(
            tenant=quote(str(tenant), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> AzureError | AzureOptedIn | None:
    if response.status_code == 200:
        response_200 = AzureOptedIn.from_dict(response.json())

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
) -> Response[AzureError | AzureOptedIn]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    api_version: AzureTenantOptedInApiVersion,
) -> Response[AzureError | AzureOptedIn]:
    """Whether a tenant has Lockbox on

     Scope: `tenant:read`.

    Args:
        tenant (UUID):
        api_version (AzureTenantOptedInApiVersion):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AzureError | AzureOptedIn]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        api_version=api_version,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    api_version: AzureTenantOptedInApiVersion,
) -> AzureError | AzureOptedIn | None:
    """Whether a tenant has Lockbox on

     Scope: `tenant:read`.

    Args:
        tenant (UUID):
        api_version (AzureTenantOptedInApiVersion):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AzureError | AzureOptedIn
    """

    return sync_detailed(
        tenant=tenant,
        client=client,
        api_version=api_version,
    ).parsed


async def asyncio_detailed(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    api_version: AzureTenantOptedInApiVersion,
) -> Response[AzureError | AzureOptedIn]:
    """Whether a tenant has Lockbox on

     Scope: `tenant:read`.

    Args:
        tenant (UUID):
        api_version (AzureTenantOptedInApiVersion):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AzureError | AzureOptedIn]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        api_version=api_version,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    api_version: AzureTenantOptedInApiVersion,
) -> AzureError | AzureOptedIn | None:
    """Whether a tenant has Lockbox on

     Scope: `tenant:read`.

    Args:
        tenant (UUID):
        api_version (AzureTenantOptedInApiVersion):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AzureError | AzureOptedIn
    """

    return (
        await asyncio_detailed(
            tenant=tenant,
            client=client,
            api_version=api_version,
        )
    ).parsed

from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.azure_disable_lockbox_api_version import (
    AzureDisableLockboxApiVersion,
)
from ...models.azure_error import AzureError
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    api_version: AzureDisableLockboxApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    params: dict[str, Any] = {}

    json_api_version: str = api_version
    params["api-version"] = json_api_version

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/providers/Microsoft.CustomerLockbox/disableLockbox",
        "params": params,
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | AzureError | None:
    if response.status_code == 200:
        response_200 = cast(Any, None)
        return response_200

    if response.status_code == 202:
        response_202 = AzureError.from_dict(response.json())

        return response_202

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

    if response.status_code == 409:
        response_409 = AzureError.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = AzureError.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = AzureError.from_dict(response.json())

        return response_415

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Any | AzureError]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    api_version: AzureDisableLockboxApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> Response[Any | AzureError]:
    """Switch Lockbox off in the caller's tenant

     Scope: `tenant:manage`.

    Args:
        api_version (AzureDisableLockboxApiVersion):
        idempotency_key (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | AzureError]
    """

    kwargs = _get_kwargs(
        api_version=api_version,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    api_version: AzureDisableLockboxApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> Any | AzureError | None:
    """Switch Lockbox off in the caller's tenant

     Scope: `tenant:manage`.

    Args:
        api_version (AzureDisableLockboxApiVersion):
        idempotency_key (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | AzureError
    """

    return sync_detailed(
        client=client,
        api_version=api_version,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    api_version: AzureDisableLockboxApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> Response[Any | AzureError]:
    """Switch Lockbox off in the caller's tenant

     Scope: `tenant:manage`.

    Args:
        api_version (AzureDisableLockboxApiVersion):
        idempotency_key (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | AzureError]
    """

    kwargs = _get_kwargs(
        api_version=api_version,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    api_version: AzureDisableLockboxApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> Any | AzureError | None:
    """Switch Lockbox off in the caller's tenant

     Scope: `tenant:manage`.

    Args:
        api_version (AzureDisableLockboxApiVersion):
        idempotency_key (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | AzureError
    """

    return (
        await asyncio_detailed(
            client=client,
            api_version=api_version,
            idempotency_key=idempotency_key,
        )
    ).parsed

from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.approval import Approval
from ...models.approval_in_request import ApprovalInRequest
from ...models.azure_error import AzureError
from ...models.azure_requests_update_approval_api_version import (
    AzureRequestsUpdateApprovalApiVersion,
)
from ...types import UNSET, Response, Unset


def _get_kwargs(
    subscription: UUID,
    id: UUID,
    *,
    body: ApprovalInRequest,
    api_version: AzureRequestsUpdateApprovalApiVersion,
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
        "url": "/subscriptions/{subscription}/providers/Microsoft.CustomerLockbox/requests/{id}/updateApproval".format(
            subscription=quote(str(subscription), safe=""),
            id=quote(str(id), safe=""),
        ),
        "params": params,
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Approval | AzureError | None:
    if response.status_code == 200:
        response_200 = Approval.from_dict(response.json())

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


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Approval | AzureError]:
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
    body: ApprovalInRequest,
    api_version: AzureRequestsUpdateApprovalApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> Response[Approval | AzureError]:
    """Say yes or no

     The yes or no of the side that the caller is on.

    Scope: `decisions:write`.

    Args:
        subscription (UUID):
        id (UUID):
        api_version (AzureRequestsUpdateApprovalApiVersion):
        idempotency_key (str | Unset):
        body (ApprovalInRequest): Older callers send `decision` in place of `status`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Approval | AzureError]
    """

    kwargs = _get_kwargs(
        subscription=subscription,
        id=id,
        body=body,
        api_version=api_version,
        idempotency_key=idempotency_key,
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
    body: ApprovalInRequest,
    api_version: AzureRequestsUpdateApprovalApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> Approval | AzureError | None:
    """Say yes or no

     The yes or no of the side that the caller is on.

    Scope: `decisions:write`.

    Args:
        subscription (UUID):
        id (UUID):
        api_version (AzureRequestsUpdateApprovalApiVersion):
        idempotency_key (str | Unset):
        body (ApprovalInRequest): Older callers send `decision` in place of `status`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Approval | AzureError
    """

    return sync_detailed(
        subscription=subscription,
        id=id,
        client=client,
        body=body,
        api_version=api_version,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    subscription: UUID,
    id: UUID,
    *,
    client: AuthenticatedClient,
    body: ApprovalInRequest,
    api_version: AzureRequestsUpdateApprovalApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> Response[Approval | AzureError]:
    """Say yes or no

     The yes or no of the side that the caller is on.

    Scope: `decisions:write`.

    Args:
        subscription (UUID):
        id (UUID):
        api_version (AzureRequestsUpdateApprovalApiVersion):
        idempotency_key (str | Unset):
        body (ApprovalInRequest): Older callers send `decision` in place of `status`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Approval | AzureError]
    """

    kwargs = _get_kwargs(
        subscription=subscription,
        id=id,
        body=body,
        api_version=api_version,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    subscription: UUID,
    id: UUID,
    *,
    client: AuthenticatedClient,
    body: ApprovalInRequest,
    api_version: AzureRequestsUpdateApprovalApiVersion,
    idempotency_key: str | Unset = UNSET,
) -> Approval | AzureError | None:
    """Say yes or no

     The yes or no of the side that the caller is on.

    Scope: `decisions:write`.

    Args:
        subscription (UUID):
        id (UUID):
        api_version (AzureRequestsUpdateApprovalApiVersion):
        idempotency_key (str | Unset):
        body (ApprovalInRequest): Older callers send `decision` in place of `status`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Approval | AzureError
    """

    return (
        await asyncio_detailed(
            subscription=subscription,
            id=id,
            client=client,
            body=body,
            api_version=api_version,
            idempotency_key=idempotency_key,
        )
    ).parsed

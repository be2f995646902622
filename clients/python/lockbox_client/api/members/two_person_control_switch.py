from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.control_in_request import ControlInRequest
from ...models.control_out import ControlOut
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    tenant: UUID,
    *,
    body: ControlInRequest,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/tenants/{tenant}/two-person-control".format(
            tenant=quote(str(tenant), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ControlOut | Problem | None:
    if response.status_code == 200:
        response_200 = ControlOut.from_dict(response.json())

        return response_200

    if response.status_code == 202:
        response_202 = Problem.from_dict(response.json())

        return response_202

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

    if response.status_code == 413:
        response_413 = Problem.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Problem.from_dict(response.json())

        return response_415

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
) -> Response[ControlOut | Problem]:
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
    body: ControlInRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ControlOut | Problem]:
    """Switch two-person control

     For the tenant's administrator. Switching it off is itself under it, and answered with 202.

    Scope: `members:manage`.

    Args:
        tenant (UUID):
        idempotency_key (str | Unset):
        body (ControlInRequest): What comes in. A field that is not there, a read-only one among
            them, is refused and not ignored.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ControlOut | Problem]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        body=body,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    body: ControlInRequest,
    idempotency_key: str | Unset = UNSET,
) -> ControlOut | Problem | None:
    """Switch two-person control

     For the tenant's administrator. Switching it off is itself under it, and answered with 202.

    Scope: `members:manage`.

    Args:
        tenant (UUID):
        idempotency_key (str | Unset):
        body (ControlInRequest): What comes in. A field that is not there, a read-only one among
            them, is refused and not ignored.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ControlOut | Problem
    """

    return sync_detailed(
        tenant=tenant,
        client=client,
        body=body,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    body: ControlInRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ControlOut | Problem]:
    """Switch two-person control

     For the tenant's administrator. Switching it off is itself under it, and answered with 202.

    Scope: `members:manage`.

    Args:
        tenant (UUID):
        idempotency_key (str | Unset):
        body (ControlInRequest): What comes in. A field that is not there, a read-only one among
            them, is refused and not ignored.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ControlOut | Problem]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        body=body,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    body: ControlInRequest,
    idempotency_key: str | Unset = UNSET,
) -> ControlOut | Problem | None:
    """Switch two-person control

     For the tenant's administrator. Switching it off is itself under it, and answered with 202.

    Scope: `members:manage`.

    Args:
        tenant (UUID):
        idempotency_key (str | Unset):
        body (ControlInRequest): What comes in. A field that is not there, a read-only one among
            them, is refused and not ignored.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ControlOut | Problem
    """

    return (
        await asyncio_detailed(
            tenant=tenant,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed

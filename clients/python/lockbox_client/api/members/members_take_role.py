from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.member_out import MemberOut
from ...models.problem import Problem
from ...models.role_in_request import RoleInRequest
from ...types import UNSET, Response, Unset


def _get_kwargs(
    tenant: UUID,
    person: UUID,
    *,
    body: RoleInRequest,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/tenants/{tenant}/members/{person}/take-role".format(
            tenant=quote(str(tenant), safe=""),
            person=quote(str(person), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> MemberOut | Problem | None:
    if response.status_code == 200:
        response_200 = MemberOut.from_dict(response.json())

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[MemberOut | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    tenant: UUID,
    person: UUID,
    *,
    client: AuthenticatedClient,
    body: RoleInRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[MemberOut | Problem]:
    """Take a role from somebody

     For the tenant's administrator. A tenant keeps its last approver and administrator, a person the
    last
    role.

    Scope: `members:manage`.

    Args:
        tenant (UUID):
        person (UUID):
        idempotency_key (str | Unset):
        body (RoleInRequest): What comes in. A field that is not there, a read-only one among
            them, is refused and not ignored.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[MemberOut | Problem]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        person=person,
        body=body,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    tenant: UUID,
    person: UUID,
    *,
    client: AuthenticatedClient,
    body: RoleInRequest,
    idempotency_key: str | Unset = UNSET,
) -> MemberOut | Problem | None:
    """Take a role from somebody

     For the tenant's administrator. A tenant keeps its last approver and administrator, a person the
    last
    role.

    Scope: `members:manage`.

    Args:
        tenant (UUID):
        person (UUID):
        idempotency_key (str | Unset):
        body (RoleInRequest): What comes in. A field that is not there, a read-only one among
            them, is refused and not ignored.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        MemberOut | Problem
    """

    return sync_detailed(
        tenant=tenant,
        person=person,
        client=client,
        body=body,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    tenant: UUID,
    person: UUID,
    *,
    client: AuthenticatedClient,
    body: RoleInRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[MemberOut | Problem]:
    """Take a role from somebody

     For the tenant's administrator. A tenant keeps its last approver and administrator, a person the
    last
    role.

    Scope: `members:manage`.

    Args:
        tenant (UUID):
        person (UUID):
        idempotency_key (str | Unset):
        body (RoleInRequest): What comes in. A field that is not there, a read-only one among
            them, is refused and not ignored.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[MemberOut | Problem]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        person=person,
        body=body,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    tenant: UUID,
    person: UUID,
    *,
    client: AuthenticatedClient,
    body: RoleInRequest,
    idempotency_key: str | Unset = UNSET,
) -> MemberOut | Problem | None:
    """Take a role from somebody

     For the tenant's administrator. A tenant keeps its last approver and administrator, a person the
    last
    role.

    Scope: `members:manage`.

    Args:
        tenant (UUID):
        person (UUID):
        idempotency_key (str | Unset):
        body (RoleInRequest): What comes in. A field that is not there, a read-only one among
            them, is refused and not ignored.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        MemberOut | Problem
    """

    return (
        await asyncio_detailed(
            tenant=tenant,
            person=person,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed

import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.access_requests_list_order import (
    AccessRequestsListOrder,
)
from ...models.access_requests_list_state import (
    AccessRequestsListState,
)
from ...models.paginated_access_request_line_list import PaginatedAccessRequestLineList
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: AccessRequestsListOrder | Unset = "-submitted_at",
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: AccessRequestsListState | Unset = UNSET,
    submitted_before: datetime.datetime | Unset = UNSET,
    submitted_since: datetime.datetime | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    json_engineer: str | Unset = UNSET
    if not isinstance(engineer, Unset):
        json_engineer = str(engineer)
    params["engineer"] = json_engineer

    params["fields"] = fields

    params["limit"] = limit

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    params["reference"] = reference

    json_service: str | Unset = UNSET
    if not isinstance(service, Unset):
        json_service = str(service)
    params["service"] = json_service

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state

    params["state"] = json_state

    json_submitted_before: str | Unset = UNSET
    if not isinstance(submitted_before, Unset):
        json_submitted_before = submitted_before.isoformat()
    params["submitted_before"] = json_submitted_before

    json_submitted_since: str | Unset = UNSET
    if not isinstance(submitted_since, Unset):
        json_submitted_since = submitted_since.isoformat()
    params["submitted_since"] = json_submitted_since

    json_tenant: str | Unset = UNSET
    if not isinstance(tenant, Unset):
        json_tenant = str(tenant)
    params["tenant"] = json_tenant

    json_ticket: str | Unset = UNSET
    if not isinstance(ticket, Unset):
        json_ticket = str(ticket)
    params["ticket"] = json_ticket

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/access-requests",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> PaginatedAccessRequestLineList | Problem | None:
    if response.status_code == 200:
        response_200 = PaginatedAccessRequestLineList.from_dict(response.json())

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
) -> Response[PaginatedAccessRequestLineList | Problem]:
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
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: AccessRequestsListOrder | Unset = "-submitted_at",
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: AccessRequestsListState | Unset = UNSET,
    submitted_before: datetime.datetime | Unset = UNSET,
    submitted_since: datetime.datetime | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
) -> Response[PaginatedAccessRequestLineList | Problem]:
    """List access requests

     Scope: `requests:read`.

    Args:
        cursor (str | Unset):
        engineer (UUID | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (AccessRequestsListOrder | Unset):  Default: '-submitted_at'.
        reference (str | Unset):
        service (UUID | Unset):
        state (AccessRequestsListState | Unset):
        submitted_before (datetime.datetime | Unset):
        submitted_since (datetime.datetime | Unset):
        tenant (UUID | Unset):
        ticket (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedAccessRequestLineList | Problem]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        engineer=engineer,
        fields=fields,
        limit=limit,
        order=order,
        reference=reference,
        service=service,
        state=state,
        submitted_before=submitted_before,
        submitted_since=submitted_since,
        tenant=tenant,
        ticket=ticket,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: AccessRequestsListOrder | Unset = "-submitted_at",
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: AccessRequestsListState | Unset = UNSET,
    submitted_before: datetime.datetime | Unset = UNSET,
    submitted_since: datetime.datetime | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
) -> PaginatedAccessRequestLineList | Problem | None:
    """List access requests

     Scope: `requests:read`.

    Args:
        cursor (str | Unset):
        engineer (UUID | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (AccessRequestsListOrder | Unset):  Default: '-submitted_at'.
        reference (str | Unset):
        service (UUID | Unset):
        state (AccessRequestsListState | Unset):
        submitted_before (datetime.datetime | Unset):
        submitted_since (datetime.datetime | Unset):
        tenant (UUID | Unset):
        ticket (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedAccessRequestLineList | Problem
    """

    return sync_detailed(
        client=client,
        cursor=cursor,
        engineer=engineer,
        fields=fields,
        limit=limit,
        order=order,
        reference=reference,
        service=service,
        state=state,
        submitted_before=submitted_before,
        submitted_since=submitted_since,
        tenant=tenant,
        ticket=ticket,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: AccessRequestsListOrder | Unset = "-submitted_at",
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: AccessRequestsListState | Unset = UNSET,
    submitted_before: datetime.datetime | Unset = UNSET,
    submitted_since: datetime.datetime | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
) -> Response[PaginatedAccessRequestLineList | Problem]:
    """List access requests

     Scope: `requests:read`.

    Args:
        cursor (str | Unset):
        engineer (UUID | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (AccessRequestsListOrder | Unset):  Default: '-submitted_at'.
        reference (str | Unset):
        service (UUID | Unset):
        state (AccessRequestsListState | Unset):
        submitted_before (datetime.datetime | Unset):
        submitted_since (datetime.datetime | Unset):
        tenant (UUID | Unset):
        ticket (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedAccessRequestLineList | Problem]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        engineer=engineer,
        fields=fields,
        limit=limit,
        order=order,
        reference=reference,
        service=service,
        state=state,
        submitted_before=submitted_before,
        submitted_since=submitted_since,
        tenant=tenant,
        ticket=ticket,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: AccessRequestsListOrder | Unset = "-submitted_at",
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: AccessRequestsListState | Unset = UNSET,
    submitted_before: datetime.datetime | Unset = UNSET,
    submitted_since: datetime.datetime | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
) -> PaginatedAccessRequestLineList | Problem | None:
    """List access requests

     Scope: `requests:read`.

    Args:
        cursor (str | Unset):
        engineer (UUID | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (AccessRequestsListOrder | Unset):  Default: '-submitted_at'.
        reference (str | Unset):
        service (UUID | Unset):
        state (AccessRequestsListState | Unset):
        submitted_before (datetime.datetime | Unset):
        submitted_since (datetime.datetime | Unset):
        tenant (UUID | Unset):
        ticket (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedAccessRequestLineList | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            cursor=cursor,
            engineer=engineer,
            fields=fields,
            limit=limit,
            order=order,
            reference=reference,
            service=service,
            state=state,
            submitted_before=submitted_before,
            submitted_since=submitted_since,
            tenant=tenant,
            ticket=ticket,
        )
    ).parsed

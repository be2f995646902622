import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.paginated_ticket_line_list import PaginatedTicketLineList
from ...models.problem import Problem
from ...models.tickets_list_order import TicketsListOrder
from ...models.tickets_list_origin import TicketsListOrigin
from ...models.tickets_list_priority import (
    TicketsListPriority,
)
from ...models.tickets_list_state import TicketsListState
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    assignee: UUID | Unset = UNSET,
    changed_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    external_reference: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_assigned: bool | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: TicketsListOrder | Unset = "-opened_at",
    origin: TicketsListOrigin | Unset = UNSET,
    priority: TicketsListPriority | Unset = UNSET,
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: TicketsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_assignee: str | Unset = UNSET
    if not isinstance(assignee, Unset):
        json_assignee = str(assignee)
    params["assignee"] = json_assignee

    json_changed_since: str | Unset = UNSET
    if not isinstance(changed_since, Unset):
        json_changed_since = changed_since.isoformat()
    params["changed_since"] = json_changed_since

    params["cursor"] = cursor

    params["external_reference"] = external_reference

    params["fields"] = fields

    params["is_assigned"] = is_assigned

    params["is_live"] = is_live

    params["limit"] = limit

    json_opened_before: str | Unset = UNSET
    if not isinstance(opened_before, Unset):
        json_opened_before = opened_before.isoformat()
    params["opened_before"] = json_opened_before

    json_opened_since: str | Unset = UNSET
    if not isinstance(opened_since, Unset):
        json_opened_since = opened_since.isoformat()
    params["opened_since"] = json_opened_since

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    json_origin: str | Unset = UNSET
    if not isinstance(origin, Unset):
        json_origin = origin

    params["origin"] = json_origin

    json_priority: str | Unset = UNSET
    if not isinstance(priority, Unset):
        json_priority = priority

    params["priority"] = json_priority

    params["reference"] = reference

    json_service: str | Unset = UNSET
    if not isinstance(service, Unset):
        json_service = str(service)
    params["service"] = json_service

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state

    params["state"] = json_state

    json_tenant: str | Unset = UNSET
    if not isinstance(tenant, Unset):
        json_tenant = str(tenant)
    params["tenant"] = json_tenant

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/tickets",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> PaginatedTicketLineList | Problem | None:
    if response.status_code == 200:
        response_200 = PaginatedTicketLineList.from_dict(response.json())

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
) -> Response[PaginatedTicketLineList | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    assignee: UUID | Unset = UNSET,
    changed_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    external_reference: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_assigned: bool | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: TicketsListOrder | Unset = "-opened_at",
    origin: TicketsListOrigin | Unset = UNSET,
    priority: TicketsListPriority | Unset = UNSET,
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: TicketsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> Response[PaginatedTicketLineList | Problem]:
    """List tickets

     Scope: `tickets:read`.

    Args:
        assignee (UUID | Unset):
        changed_since (datetime.datetime | Unset):
        cursor (str | Unset):
        external_reference (str | Unset):
        fields (str | Unset):
        is_assigned (bool | Unset):
        is_live (bool | Unset):
        limit (int | Unset):
        opened_before (datetime.datetime | Unset):
        opened_since (datetime.datetime | Unset):
        order (TicketsListOrder | Unset):  Default: '-opened_at'.
        origin (TicketsListOrigin | Unset):
        priority (TicketsListPriority | Unset):
        reference (str | Unset):
        service (UUID | Unset):
        state (TicketsListState | Unset):
        tenant (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedTicketLineList | Problem]
    """

    kwargs = _get_kwargs(
        assignee=assignee,
        changed_since=changed_since,
        cursor=cursor,
        external_reference=external_reference,
        fields=fields,
        is_assigned=is_assigned,
        is_live=is_live,
        limit=limit,
        opened_before=opened_before,
        opened_since=opened_since,
        order=order,
        origin=origin,
        priority=priority,
        reference=reference,
        service=service,
        state=state,
        tenant=tenant,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    assignee: UUID | Unset = UNSET,
    changed_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    external_reference: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_assigned: bool | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: TicketsListOrder | Unset = "-opened_at",
    origin: TicketsListOrigin | Unset = UNSET,
    priority: TicketsListPriority | Unset = UNSET,
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: TicketsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> PaginatedTicketLineList | Problem | None:
    """List tickets

     Scope: `tickets:read`.

    Args:
        assignee (UUID | Unset):
        changed_since (datetime.datetime | Unset):
        cursor (str | Unset):
        external_reference (str | Unset):
        fields (str | Unset):
        is_assigned (bool | Unset):
        is_live (bool | Unset):
        limit (int | Unset):
        opened_before (datetime.datetime | Unset):
        opened_since (datetime.datetime | Unset):
        order (TicketsListOrder | Unset):  Default: '-opened_at'.
        origin (TicketsListOrigin | Unset):
        priority (TicketsListPriority | Unset):
        reference (str | Unset):
        service (UUID | Unset):
        state (TicketsListState | Unset):
        tenant (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedTicketLineList | Problem
    """

    return sync_detailed(
        client=client,
        assignee=assignee,
        changed_since=changed_since,
        cursor=cursor,
        external_reference=external_reference,
        fields=fields,
        is_assigned=is_assigned,
        is_live=is_live,
        limit=limit,
        opened_before=opened_before,
        opened_since=opened_since,
        order=order,
        origin=origin,
        priority=priority,
        reference=reference,
        service=service,
        state=state,
        tenant=tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    assignee: UUID | Unset = UNSET,
    changed_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    external_reference: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_assigned: bool | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: TicketsListOrder | Unset = "-opened_at",
    origin: TicketsListOrigin | Unset = UNSET,
    priority: TicketsListPriority | Unset = UNSET,
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: TicketsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> Response[PaginatedTicketLineList | Problem]:
    """List tickets

     Scope: `tickets:read`.

    Args:
        assignee (UUID | Unset):
        changed_since (datetime.datetime | Unset):
        cursor (str | Unset):
        external_reference (str | Unset):
        fields (str | Unset):
        is_assigned (bool | Unset):
        is_live (bool | Unset):
        limit (int | Unset):
        opened_before (datetime.datetime | Unset):
        opened_since (datetime.datetime | Unset):
        order (TicketsListOrder | Unset):  Default: '-opened_at'.
        origin (TicketsListOrigin | Unset):
        priority (TicketsListPriority | Unset):
        reference (str | Unset):
        service (UUID | Unset):
        state (TicketsListState | Unset):
        tenant (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedTicketLineList | Problem]
    """

    kwargs = _get_kwargs(
        assignee=assignee,
        changed_since=changed_since,
        cursor=cursor,
        external_reference=external_reference,
        fields=fields,
        is_assigned=is_assigned,
        is_live=is_live,
        limit=limit,
        opened_before=opened_before,
        opened_since=opened_since,
        order=order,
        origin=origin,
        priority=priority,
        reference=reference,
        service=service,
        state=state,
        tenant=tenant,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    assignee: UUID | Unset = UNSET,
    changed_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    external_reference: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    is_assigned: bool | Unset = UNSET,
    is_live: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: TicketsListOrder | Unset = "-opened_at",
    origin: TicketsListOrigin | Unset = UNSET,
    priority: TicketsListPriority | Unset = UNSET,
    reference: str | Unset = UNSET,
    service: UUID | Unset = UNSET,
    state: TicketsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> PaginatedTicketLineList | Problem | None:
    """List tickets

     Scope: `tickets:read`.

    Args:
        assignee (UUID | Unset):
        changed_since (datetime.datetime | Unset):
        cursor (str | Unset):
        external_reference (str | Unset):
        fields (str | Unset):
        is_assigned (bool | Unset):
        is_live (bool | Unset):
        limit (int | Unset):
        opened_before (datetime.datetime | Unset):
        opened_since (datetime.datetime | Unset):
        order (TicketsListOrder | Unset):  Default: '-opened_at'.
        origin (TicketsListOrigin | Unset):
        priority (TicketsListPriority | Unset):
        reference (str | Unset):
        service (UUID | Unset):
        state (TicketsListState | Unset):
        tenant (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedTicketLineList | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            assignee=assignee,
            changed_since=changed_since,
            cursor=cursor,
            external_reference=external_reference,
            fields=fields,
            is_assigned=is_assigned,
            is_live=is_live,
            limit=limit,
            opened_before=opened_before,
            opened_since=opened_since,
            order=order,
            origin=origin,
            priority=priority,
            reference=reference,
            service=service,
            state=state,
            tenant=tenant,
        )
    ).parsed

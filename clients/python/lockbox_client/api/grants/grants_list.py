import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.grants_list_order import GrantsListOrder
from ...models.grants_list_state import GrantsListState
from ...models.paginated_grant_line_list import PaginatedGrantLineList
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    access_request: UUID | Unset = UNSET,
    closes_before: datetime.datetime | Unset = UNSET,
    closes_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: GrantsListOrder | Unset = "-opens_at",
    service: UUID | Unset = UNSET,
    state: GrantsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_access_request: str | Unset = UNSET
    if not isinstance(access_request, Unset):
        json_access_request = str(access_request)
    params["access_request"] = json_access_request

    json_closes_before: str | Unset = UNSET
    if not isinstance(closes_before, Unset):
        json_closes_before = closes_before.isoformat()
    params["closes_before"] = json_closes_before

    json_closes_since: str | Unset = UNSET
    if not isinstance(closes_since, Unset):
        json_closes_since = closes_since.isoformat()
    params["closes_since"] = json_closes_since

    params["cursor"] = cursor

    json_engineer: str | Unset = UNSET
    if not isinstance(engineer, Unset):
        json_engineer = str(engineer)
    params["engineer"] = json_engineer

    params["fields"] = fields

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
        "url": "/api/v1/grants",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> PaginatedGrantLineList | Problem | None:
    if response.status_code == 200:
        response_200 = PaginatedGrantLineList.from_dict(response.json())

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
) -> Response[PaginatedGrantLineList | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    access_request: UUID | Unset = UNSET,
    closes_before: datetime.datetime | Unset = UNSET,
    closes_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: GrantsListOrder | Unset = "-opens_at",
    service: UUID | Unset = UNSET,
    state: GrantsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> Response[PaginatedGrantLineList | Problem]:
    """List windows

     Those of one's tenants, or of one's queues.

    Scope: `grants:read`.

    Args:
        access_request (UUID | Unset):
        closes_before (datetime.datetime | Unset):
        closes_since (datetime.datetime | Unset):
        cursor (str | Unset):
        engineer (UUID | Unset):
        fields (str | Unset):
        limit (int | Unset):
        opened_before (datetime.datetime | Unset):
        opened_since (datetime.datetime | Unset):
        order (GrantsListOrder | Unset):  Default: '-opens_at'.
        service (UUID | Unset):
        state (GrantsListState | Unset):
        tenant (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedGrantLineList | Problem]
    """

    kwargs = _get_kwargs(
        access_request=access_request,
        closes_before=closes_before,
        closes_since=closes_since,
        cursor=cursor,
        engineer=engineer,
        fields=fields,
        limit=limit,
        opened_before=opened_before,
        opened_since=opened_since,
        order=order,
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
    access_request: UUID | Unset = UNSET,
    closes_before: datetime.datetime | Unset = UNSET,
    closes_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: GrantsListOrder | Unset = "-opens_at",
    service: UUID | Unset = UNSET,
    state: GrantsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> PaginatedGrantLineList | Problem | None:
    """List windows

     Those of one's tenants, or of one's queues.

    Scope: `grants:read`.

    Args:
        access_request (UUID | Unset):
        closes_before (datetime.datetime | Unset):
        closes_since (datetime.datetime | Unset):
        cursor (str | Unset):
        engineer (UUID | Unset):
        fields (str | Unset):
        limit (int | Unset):
        opened_before (datetime.datetime | Unset):
        opened_since (datetime.datetime | Unset):
        order (GrantsListOrder | Unset):  Default: '-opens_at'.
        service (UUID | Unset):
        state (GrantsListState | Unset):
        tenant (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedGrantLineList | Problem
    """

    return sync_detailed(
        client=client,
        access_request=access_request,
        closes_before=closes_before,
        closes_since=closes_since,
        cursor=cursor,
        engineer=engineer,
        fields=fields,
        limit=limit,
        opened_before=opened_before,
        opened_since=opened_since,
        order=order,
        service=service,
        state=state,
        tenant=tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    access_request: UUID | Unset = UNSET,
    closes_before: datetime.datetime | Unset = UNSET,
    closes_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: GrantsListOrder | Unset = "-opens_at",
    service: UUID | Unset = UNSET,
    state: GrantsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> Response[PaginatedGrantLineList | Problem]:
    """List windows

     Those of one's tenants, or of one's queues.

    Scope: `grants:read`.

    Args:
        access_request (UUID | Unset):
        closes_before (datetime.datetime | Unset):
        closes_since (datetime.datetime | Unset):
        cursor (str | Unset):
        engineer (UUID | Unset):
        fields (str | Unset):
        limit (int | Unset):
        opened_before (datetime.datetime | Unset):
        opened_since (datetime.datetime | Unset):
        order (GrantsListOrder | Unset):  Default: '-opens_at'.
        service (UUID | Unset):
        state (GrantsListState | Unset):
        tenant (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedGrantLineList | Problem]
    """

    kwargs = _get_kwargs(
        access_request=access_request,
        closes_before=closes_before,
        closes_since=closes_since,
        cursor=cursor,
        engineer=engineer,
        fields=fields,
        limit=limit,
        opened_before=opened_before,
        opened_since=opened_since,
        order=order,
        service=service,
        state=state,
        tenant=tenant,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    access_request: UUID | Unset = UNSET,
    closes_before: datetime.datetime | Unset = UNSET,
    closes_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    engineer: UUID | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    opened_before: datetime.datetime | Unset = UNSET,
    opened_since: datetime.datetime | Unset = UNSET,
    order: GrantsListOrder | Unset = "-opens_at",
    service: UUID | Unset = UNSET,
    state: GrantsListState | Unset = UNSET,
    tenant: UUID | Unset = UNSET,
) -> PaginatedGrantLineList | Problem | None:
    """List windows

     Those of one's tenants, or of one's queues.

    Scope: `grants:read`.

    Args:
        access_request (UUID | Unset):
        closes_before (datetime.datetime | Unset):
        closes_since (datetime.datetime | Unset):
        cursor (str | Unset):
        engineer (UUID | Unset):
        fields (str | Unset):
        limit (int | Unset):
        opened_before (datetime.datetime | Unset):
        opened_since (datetime.datetime | Unset):
        order (GrantsListOrder | Unset):  Default: '-opens_at'.
        service (UUID | Unset):
        state (GrantsListState | Unset):
        tenant (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedGrantLineList | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            access_request=access_request,
            closes_before=closes_before,
            closes_since=closes_since,
            cursor=cursor,
            engineer=engineer,
            fields=fields,
            limit=limit,
            opened_before=opened_before,
            opened_since=opened_since,
            order=order,
            service=service,
            state=state,
            tenant=tenant,
        )
    ).parsed

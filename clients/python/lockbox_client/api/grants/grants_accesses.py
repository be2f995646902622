import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.grants_accesses_kind import (
    GrantsAccessesKind,
)
from ...models.grants_accesses_order import (
    GrantsAccessesOrder,
)
from ...models.paginated_content_access_out_list import PaginatedContentAccessOutList
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    id: UUID,
    *,
    before: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    kind: GrantsAccessesKind | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: GrantsAccessesOrder | Unset = "-at",
    resource: UUID | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_before: str | Unset = UNSET
    if not isinstance(before, Unset):
        json_before = before.isoformat()
    params["before"] = json_before

    params["cursor"] = cursor

    params["fields"] = fields

    json_kind: str | Unset = UNSET
    if not isinstance(kind, Unset):
        json_kind = kind

    params["kind"] = json_kind

    params["limit"] = limit

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    json_resource: str | Unset = UNSET
    if not isinstance(resource, Unset):
        json_resource = str(resource)
    params["resource"] = json_resource

    json_since: str | Unset = UNSET
    if not isinstance(since, Unset):
        json_since = since.isoformat()
    params["since"] = json_since

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/grants/{id}/accesses".format(
            id=quote(str(id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> PaginatedContentAccessOutList | Problem | None:
    if response.status_code == 200:
        response_200 = PaginatedContentAccessOutList.from_dict(response.json())

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
) -> Response[PaginatedContentAccessOutList | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: UUID,
    *,
    client: AuthenticatedClient,
    before: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    kind: GrantsAccessesKind | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: GrantsAccessesOrder | Unset = "-at",
    resource: UUID | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
) -> Response[PaginatedContentAccessOutList | Problem]:
    """List what was looked at in a window

     For who reads the tenant's log, the engineer of this window, the provider's approvers and staff.
    Others of the
    tenant see how much it was: `seen` of the window.

    Scope: `grants:read`.

    Args:
        id (UUID):
        before (datetime.datetime | Unset):
        cursor (str | Unset):
        fields (str | Unset):
        kind (GrantsAccessesKind | Unset):
        limit (int | Unset):
        order (GrantsAccessesOrder | Unset):  Default: '-at'.
        resource (UUID | Unset):
        since (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedContentAccessOutList | Problem]
    """

    kwargs = _get_kwargs(
        id=id,
        before=before,
        cursor=cursor,
        fields=fields,
        kind=kind,
        limit=limit,
        order=order,
        resource=resource,
        since=since,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    id: UUID,
    *,
    client: AuthenticatedClient,
    before: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    kind: GrantsAccessesKind | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: GrantsAccessesOrder | Unset = "-at",
    resource: UUID | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
) -> PaginatedContentAccessOutList | Problem | None:
    """List what was looked at in a window

     For who reads the tenant's log, the engineer of this window, the provider's approvers and staff.
    Others of the
    tenant see how much it was: `seen` of the window.

    Scope: `grants:read`.

    Args:
        id (UUID):
        before (datetime.datetime | Unset):
        cursor (str | Unset):
        fields (str | Unset):
        kind (GrantsAccessesKind | Unset):
        limit (int | Unset):
        order (GrantsAccessesOrder | Unset):  Default: '-at'.
        resource (UUID | Unset):
        since (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedContentAccessOutList | Problem
    """

    return sync_detailed(
        id=id,
        client=client,
        before=before,
        cursor=cursor,
        fields=fields,
        kind=kind,
        limit=limit,
        order=order,
        resource=resource,
        since=since,
    ).parsed


async def asyncio_detailed(
    id: UUID,
    *,
    client: AuthenticatedClient,
    before: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    kind: GrantsAccessesKind | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: GrantsAccessesOrder | Unset = "-at",
    resource: UUID | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
) -> Response[PaginatedContentAccessOutList | Problem]:
    """List what was looked at in a window

     For who reads the tenant's log, the engineer of this window, the provider's approvers and staff.
    Others of the
    tenant see how much it was: `seen` of the window.

    Scope: `grants:read`.

    Args:
        id (UUID):
        before (datetime.datetime | Unset):
        cursor (str | Unset):
        fields (str | Unset):
        kind (GrantsAccessesKind | Unset):
        limit (int | Unset):
        order (GrantsAccessesOrder | Unset):  Default: '-at'.
        resource (UUID | Unset):
        since (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedContentAccessOutList | Problem]
    """

    kwargs = _get_kwargs(
        id=id,
        before=before,
        cursor=cursor,
        fields=fields,
        kind=kind,
        limit=limit,
        order=order,
        resource=resource,
        since=since,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    id: UUID,
    *,
    client: AuthenticatedClient,
    before: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    kind: GrantsAccessesKind | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: GrantsAccessesOrder | Unset = "-at",
    resource: UUID | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
) -> PaginatedContentAccessOutList | Problem | None:
    """List what was looked at in a window

     For who reads the tenant's log, the engineer of this window, the provider's approvers and staff.
    Others of the
    tenant see how much it was: `seen` of the window.

    Scope: `grants:read`.

    Args:
        id (UUID):
        before (datetime.datetime | Unset):
        cursor (str | Unset):
        fields (str | Unset):
        kind (GrantsAccessesKind | Unset):
        limit (int | Unset):
        order (GrantsAccessesOrder | Unset):  Default: '-at'.
        resource (UUID | Unset):
        since (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedContentAccessOutList | Problem
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            before=before,
            cursor=cursor,
            fields=fields,
            kind=kind,
            limit=limit,
            order=order,
            resource=resource,
            since=since,
        )
    ).parsed

from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.paginated_delivery_line_list import PaginatedDeliveryLineList
from ...models.problem import Problem
from ...models.webhooks_deliveries_order import (
    WebhooksDeliveriesOrder,
)
from ...models.webhooks_deliveries_state import (
    WebhooksDeliveriesState,
)
from ...types import UNSET, Response, Unset


def _get_kwargs(
    id: UUID,
    *,
    cursor: str | Unset = UNSET,
    event: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: WebhooksDeliveriesOrder | Unset = "-created_at",
    state: WebhooksDeliveriesState | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["event"] = event

    params["fields"] = fields

    params["limit"] = limit

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state

    params["state"] = json_state

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/webhooks/{id}/deliveries".format(
            id=quote(str(id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> PaginatedDeliveryLineList | Problem | None:
    if response.status_code == 200:
        response_200 = PaginatedDeliveryLineList.from_dict(response.json())

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
) -> Response[PaginatedDeliveryLineList | Problem]:
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
    cursor: str | Unset = UNSET,
    event: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: WebhooksDeliveriesOrder | Unset = "-created_at",
    state: WebhooksDeliveriesState | Unset = UNSET,
) -> Response[PaginatedDeliveryLineList | Problem]:
    """List what was sent to a webhook within 30 days

     Scope: `webhooks:manage`.

    Args:
        id (UUID):
        cursor (str | Unset):
        event (str | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (WebhooksDeliveriesOrder | Unset):  Default: '-created_at'.
        state (WebhooksDeliveriesState | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedDeliveryLineList | Problem]
    """

    kwargs = _get_kwargs(
        id=id,
        cursor=cursor,
        event=event,
        fields=fields,
        limit=limit,
        order=order,
        state=state,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    id: UUID,
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    event: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: WebhooksDeliveriesOrder | Unset = "-created_at",
    state: WebhooksDeliveriesState | Unset = UNSET,
) -> PaginatedDeliveryLineList | Problem | None:
    """List what was sent to a webhook within 30 days

     Scope: `webhooks:manage`.

    Args:
        id (UUID):
        cursor (str | Unset):
        event (str | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (WebhooksDeliveriesOrder | Unset):  Default: '-created_at'.
        state (WebhooksDeliveriesState | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedDeliveryLineList | Problem
    """

    return sync_detailed(
        id=id,
        client=client,
        cursor=cursor,
        event=event,
        fields=fields,
        limit=limit,
        order=order,
        state=state,
    ).parsed


async def asyncio_detailed(
    id: UUID,
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    event: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: WebhooksDeliveriesOrder | Unset = "-created_at",
    state: WebhooksDeliveriesState | Unset = UNSET,
) -> Response[PaginatedDeliveryLineList | Problem]:
    """List what was sent to a webhook within 30 days

     Scope: `webhooks:manage`.

    Args:
        id (UUID):
        cursor (str | Unset):
        event (str | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (WebhooksDeliveriesOrder | Unset):  Default: '-created_at'.
        state (WebhooksDeliveriesState | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PaginatedDeliveryLineList | Problem]
    """

    kwargs = _get_kwargs(
        id=id,
        cursor=cursor,
        event=event,
        fields=fields,
        limit=limit,
        order=order,
        state=state,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    id: UUID,
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    event: str | Unset = UNSET,
    fields: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: WebhooksDeliveriesOrder | Unset = "-created_at",
    state: WebhooksDeliveriesState | Unset = UNSET,
) -> PaginatedDeliveryLineList | Problem | None:
    """List what was sent to a webhook within 30 days

     Scope: `webhooks:manage`.

    Args:
        id (UUID):
        cursor (str | Unset):
        event (str | Unset):
        fields (str | Unset):
        limit (int | Unset):
        order (WebhooksDeliveriesOrder | Unset):  Default: '-created_at'.
        state (WebhooksDeliveriesState | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PaginatedDeliveryLineList | Problem
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            cursor=cursor,
            event=event,
            fields=fields,
            limit=limit,
            order=order,
            state=state,
        )
    ).parsed

import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.provider_log_export_event import (
    ProviderLogExportEvent,
)
from ...models.provider_log_export_format import (
    ProviderLogExportFormat,
)
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    access_request: UUID | Unset = UNSET,
    actor: UUID | Unset = UNSET,
    after: int | Unset = UNSET,
    before: int | Unset = UNSET,
    event: ProviderLogExportEvent | Unset = UNSET,
    format_: ProviderLogExportFormat | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_access_request: str | Unset = UNSET
    if not isinstance(access_request, Unset):
        json_access_request = str(access_request)
    params["access_request"] = json_access_request

    json_actor: str | Unset = UNSET
    if not isinstance(actor, Unset):
        json_actor = str(actor)
    params["actor"] = json_actor

    params["after"] = after

    params["before"] = before

    json_event: str | Unset = UNSET
    if not isinstance(event, Unset):
        json_event = event

    params["event"] = json_event

    json_format_: str | Unset = UNSET
    if not isinstance(format_, Unset):
        json_format_ = format_

    params["format"] = json_format_

    json_since: str | Unset = UNSET
    if not isinstance(since, Unset):
        json_since = since.isoformat()
    params["since"] = json_since

    json_ticket: str | Unset = UNSET
    if not isinstance(ticket, Unset):
        json_ticket = str(ticket)
    params["ticket"] = json_ticket

    json_until: str | Unset = UNSET
    if not isinstance(until, Unset):
        json_until = until.isoformat()
    params["until"] = json_until

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/log/export",
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Problem | str | None:
    if response.status_code == 200:
        response_200 = response.text
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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Problem | str]:
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
    actor: UUID | Unset = UNSET,
    after: int | Unset = UNSET,
    before: int | Unset = UNSET,
    event: ProviderLogExportEvent | Unset = UNSET,
    format_: ProviderLogExportFormat | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
) -> Response[Problem | str]:
    """Export the provider's own log, in one of the formats

     For staff. It is written and read as the export of a tenant's log is.

    Scope: `log:read`.

    Args:
        access_request (UUID | Unset):
        actor (UUID | Unset):
        after (int | Unset):
        before (int | Unset):
        event (ProviderLogExportEvent | Unset):
        format_ (ProviderLogExportFormat | Unset):
        since (datetime.datetime | Unset):
        ticket (UUID | Unset):
        until (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | str]
    """

    kwargs = _get_kwargs(
        access_request=access_request,
        actor=actor,
        after=after,
        before=before,
        event=event,
        format_=format_,
        since=since,
        ticket=ticket,
        until=until,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    access_request: UUID | Unset = UNSET,
    actor: UUID | Unset = UNSET,
    after: int | Unset = UNSET,
    before: int | Unset = UNSET,
    event: ProviderLogExportEvent | Unset = UNSET,
    format_: ProviderLogExportFormat | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
) -> Problem | str | None:
    """Export the provider's own log, in one of the formats

     For staff. It is written and read as the export of a tenant's log is.

    Scope: `log:read`.

    Args:
        access_request (UUID | Unset):
        actor (UUID | Unset):
        after (int | Unset):
        before (int | Unset):
        event (ProviderLogExportEvent | Unset):
        format_ (ProviderLogExportFormat | Unset):
        since (datetime.datetime | Unset):
        ticket (UUID | Unset):
        until (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | str
    """

    return sync_detailed(
        client=client,
        access_request=access_request,
        actor=actor,
        after=after,
        before=before,
        event=event,
        format_=format_,
        since=since,
        ticket=ticket,
        until=until,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    access_request: UUID | Unset = UNSET,
    actor: UUID | Unset = UNSET,
    after: int | Unset = UNSET,
    before: int | Unset = UNSET,
    event: ProviderLogExportEvent | Unset = UNSET,
    format_: ProviderLogExportFormat | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
) -> Response[Problem | str]:
    """Export the provider's own log, in one of the formats

     For staff. It is written and read as the export of a tenant's log is.

    Scope: `log:read`.

    Args:
        access_request (UUID | Unset):
        actor (UUID | Unset):
        after (int | Unset):
        before (int | Unset):
        event (ProviderLogExportEvent | Unset):
        format_ (ProviderLogExportFormat | Unset):
        since (datetime.datetime | Unset):
        ticket (UUID | Unset):
        until (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | str]
    """

    kwargs = _get_kwargs(
        access_request=access_request,
        actor=actor,
        after=after,
        before=before,
        event=event,
        format_=format_,
        since=since,
        ticket=ticket,
        until=until,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    access_request: UUID | Unset = UNSET,
    actor: UUID | Unset = UNSET,
    after: int | Unset = UNSET,
    before: int | Unset = UNSET,
    event: ProviderLogExportEvent | Unset = UNSET,
    format_: ProviderLogExportFormat | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    ticket: UUID | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
) -> Problem | str | None:
    """Export the provider's own log, in one of the formats

     For staff. It is written and read as the export of a tenant's log is.

    Scope: `log:read`.

    Args:
        access_request (UUID | Unset):
        actor (UUID | Unset):
        after (int | Unset):
        before (int | Unset):
        event (ProviderLogExportEvent | Unset):
        format_ (ProviderLogExportFormat | Unset):
        since (datetime.datetime | Unset):
        ticket (UUID | Unset):
        until (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | str
    """

    return (
        await asyncio_detailed(
            client=client,
            access_request=access_request,
            actor=actor,
            after=after,
            before=before,
            event=event,
            format_=format_,
            since=since,
            ticket=ticket,
            until=until,
        )
    ).parsed

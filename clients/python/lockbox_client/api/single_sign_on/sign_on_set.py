from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.sign_on_in_request import SignOnInRequest
from ...models.sign_on_out import SignOnOut
from ...types import UNSET, Response, Unset


def _get_kwargs(
    tenant: UUID,
    *,
    body: SignOnInRequest,
    if_match: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(if_match, Unset):
        headers["If-Match"] = if_match

    _kwargs: dict[str, Any] = {
        "method": "put",
        "url": "/api/v1/tenants/{tenant}/sign-on".format(
            tenant=quote(str(tenant), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Problem | SignOnOut | None:
    if response.status_code == 200:
        response_200 = SignOnOut.from_dict(response.json())

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

    if response.status_code == 412:
        response_412 = Problem.from_dict(response.json())

        return response_412

    if response.status_code == 413:
        response_413 = Problem.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Problem.from_dict(response.json())

        return response_415

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    if response.status_code == 428:
        response_428 = Problem.from_dict(response.json())

        return response_428

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Problem | SignOnOut]:
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
    body: SignOnInRequest,
    if_match: str | Unset = UNSET,
) -> Response[Problem | SignOnOut]:
    """Say where a tenant's people sign in

     For the tenant's administrator, after `me/step-up`. `If-Match` names what was read, and is needed
    once there
    is something: of two who change it at once, the second reads again.

    Scope: `sign-on:manage`.

    Args:
        tenant (UUID):
        if_match (str | Unset):
        body (SignOnInRequest): All of it: what is left out is empty or off, but for the secret,
            which stays where none is given.

            `role_map` says which role a group of `groups_claim` gives; `break_glass` is the
            administrator who gets in where it
            is the only way for all others.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | SignOnOut]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        body=body,
        if_match=if_match,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    body: SignOnInRequest,
    if_match: str | Unset = UNSET,
) -> Problem | SignOnOut | None:
    """Say where a tenant's people sign in

     For the tenant's administrator, after `me/step-up`. `If-Match` names what was read, and is needed
    once there
    is something: of two who change it at once, the second reads again.

    Scope: `sign-on:manage`.

    Args:
        tenant (UUID):
        if_match (str | Unset):
        body (SignOnInRequest): All of it: what is left out is empty or off, but for the secret,
            which stays where none is given.

            `role_map` says which role a group of `groups_claim` gives; `break_glass` is the
            administrator who gets in where it
            is the only way for all others.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | SignOnOut
    """

    return sync_detailed(
        tenant=tenant,
        client=client,
        body=body,
        if_match=if_match,
    ).parsed


async def asyncio_detailed(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    body: SignOnInRequest,
    if_match: str | Unset = UNSET,
) -> Response[Problem | SignOnOut]:
    """Say where a tenant's people sign in

     For the tenant's administrator, after `me/step-up`. `If-Match` names what was read, and is needed
    once there
    is something: of two who change it at once, the second reads again.

    Scope: `sign-on:manage`.

    Args:
        tenant (UUID):
        if_match (str | Unset):
        body (SignOnInRequest): All of it: what is left out is empty or off, but for the secret,
            which stays where none is given.

            `role_map` says which role a group of `groups_claim` gives; `break_glass` is the
            administrator who gets in where it
            is the only way for all others.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | SignOnOut]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        body=body,
        if_match=if_match,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    tenant: UUID,
    *,
    client: AuthenticatedClient,
    body: SignOnInRequest,
    if_match: str | Unset = UNSET,
) -> Problem | SignOnOut | None:
    """Say where a tenant's people sign in

     For the tenant's administrator, after `me/step-up`. `If-Match` names what was read, and is needed
    once there
    is something: of two who change it at once, the second reads again.

    Scope: `sign-on:manage`.

    Args:
        tenant (UUID):
        if_match (str | Unset):
        body (SignOnInRequest): All of it: what is left out is empty or off, but for the secret,
            which stays where none is given.

            `role_map` says which role a group of `groups_claim` gives; `break_glass` is the
            administrator who gets in where it
            is the only way for all others.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | SignOnOut
    """

    return (
        await asyncio_detailed(
            tenant=tenant,
            client=client,
            body=body,
            if_match=if_match,
        )
    ).parsed

from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.access_requests_manifest_decision import (
    AccessRequestsManifestDecision,
)
from ...models.manifest_out import ManifestOut
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    id: UUID,
    *,
    decision: AccessRequestsManifestDecision,
    if_none_match: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(if_none_match, Unset):
        headers["If-None-Match"] = if_none_match

    params: dict[str, Any] = {}

    json_decision: str = decision
    params["decision"] = json_decision

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/access-requests/{id}/manifest".format(
            id=quote(str(id), safe=""),
        ),
        "params": params,
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ManifestOut | Problem | None:
    if response.status_code == 200:
        response_200 = ManifestOut.from_dict(response.json())

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
) -> Response[ManifestOut | Problem]:
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
    decision: AccessRequestsManifestDecision,
    if_none_match: str | Unset = UNSET,
) -> Response[ManifestOut | Problem]:
    """Get the text of a decision, to sign it

     The text of one's own answer, to be signed with a passkey; good for five minutes, and once.

    Scope: `decisions:write`.

    Args:
        id (UUID):
        decision (AccessRequestsManifestDecision):
        if_none_match (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ManifestOut | Problem]
    """

    kwargs = _get_kwargs(
        id=id,
        decision=decision,
        if_none_match=if_none_match,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    id: UUID,
    *,
    client: AuthenticatedClient,
    decision: AccessRequestsManifestDecision,
    if_none_match: str | Unset = UNSET,
) -> ManifestOut | Problem | None:
    """Get the text of a decision, to sign it

     The text of one's own answer, to be signed with a passkey; good for five minutes, and once.

    Scope: `decisions:write`.

    Args:
        id (UUID):
        decision (AccessRequestsManifestDecision):
        if_none_match (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ManifestOut | Problem
    """

    return sync_detailed(
        id=id,
        client=client,
        decision=decision,
        if_none_match=if_none_match,
    ).parsed


async def asyncio_detailed(
    id: UUID,
    *,
    client: AuthenticatedClient,
    decision: AccessRequestsManifestDecision,
    if_none_match: str | Unset = UNSET,
) -> Response[ManifestOut | Problem]:
    """Get the text of a decision, to sign it

     The text of one's own answer, to be signed with a passkey; good for five minutes, and once.

    Scope: `decisions:write`.

    Args:
        id (UUID):
        decision (AccessRequestsManifestDecision):
        if_none_match (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ManifestOut | Problem]
    """

    kwargs = _get_kwargs(
        id=id,
        decision=decision,
        if_none_match=if_none_match,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    id: UUID,
    *,
    client: AuthenticatedClient,
    decision: AccessRequestsManifestDecision,
    if_none_match: str | Unset = UNSET,
) -> ManifestOut | Problem | None:
    """Get the text of a decision, to sign it

     The text of one's own answer, to be signed with a passkey; good for five minutes, and once.

    Scope: `decisions:write`.

    Args:
        id (UUID):
        decision (AccessRequestsManifestDecision):
        if_none_match (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ManifestOut | Problem
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            decision=decision,
            if_none_match=if_none_match,
        )
    ).parsed

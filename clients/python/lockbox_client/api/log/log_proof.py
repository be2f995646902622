from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.proof_out import ProofOut
from ...types import Response


def _get_kwargs(
    tenant: UUID,
    seq: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/tenants/{tenant}/log/entries/{seq}/proof".format(
            tenant=quote(str(tenant), safe=""),
            seq=quote(str(seq), safe=""),
        ),
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Problem | ProofOut | None:
    if response.status_code == 200:
        response_200 = ProofOut.from_dict(response.json())

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

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Problem | ProofOut]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    tenant: UUID,
    seq: int,
    *,
    client: AuthenticatedClient,
) -> Response[Problem | ProofOut]:
    """Have it proven that an entry is in the log that was signed

     Under the newest checkpoint. As text it is a `.tlog-proof` (C2SP tlog-proof), which the verifier
    takes.

    Scope: `log:read`.

    Args:
        tenant (UUID):
        seq (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ProofOut]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        seq=seq,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    tenant: UUID,
    seq: int,
    *,
    client: AuthenticatedClient,
) -> Problem | ProofOut | None:
    """Have it proven that an entry is in the log that was signed

     Under the newest checkpoint. As text it is a `.tlog-proof` (C2SP tlog-proof), which the verifier
    takes.

    Scope: `log:read`.

    Args:
        tenant (UUID):
        seq (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ProofOut
    """

    return sync_detailed(
        tenant=tenant,
        seq=seq,
        client=client,
    ).parsed


async def asyncio_detailed(
    tenant: UUID,
    seq: int,
    *,
    client: AuthenticatedClient,
) -> Response[Problem | ProofOut]:
    """Have it proven that an entry is in the log that was signed

     Under the newest checkpoint. As text it is a `.tlog-proof` (C2SP tlog-proof), which the verifier
    takes.

    Scope: `log:read`.

    Args:
        tenant (UUID):
        seq (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ProofOut]
    """

    kwargs = _get_kwargs(
        tenant=tenant,
        seq=seq,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    tenant: UUID,
    seq: int,
    *,
    client: AuthenticatedClient,
) -> Problem | ProofOut | None:
    """Have it proven that an entry is in the log that was signed

     Under the newest checkpoint. As text it is a `.tlog-proof` (C2SP tlog-proof), which the verifier
    takes.

    Scope: `log:read`.

    Args:
        tenant (UUID):
        seq (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ProofOut
    """

    return (
        await asyncio_detailed(
            tenant=tenant,
            seq=seq,
            client=client,
        )
    ).parsed

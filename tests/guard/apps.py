"""Real applications behind the guard: `python -m tests.guard.apps KIND PORT ISSUER QUEUE`.

The engineer's own session is the header X-Engineer, as an identity-aware proxy would set it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from fastapi import Request  # FastAPI reads annotations in the module's names

from lockbox_guard import ASGIGuard, Guard, Rule


def trickle() -> Iterator[bytes]:
    while True:
        yield b"x" * 100
        time.sleep(0.05)


async def trickle_async() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 100
        await asyncio.sleep(0.05)


def rule_for(path: str, engineer: str | None) -> Rule | None:
    parts = path.split("/")
    return Rule(tenant="contoso", identifier=parts[2], engineer=engineer) if parts[1] == "w" else None


# --- Django: the lines of the recipe are `LOCKBOX_…`, the middleware, and `asgi(…)` ------------------------------


def rules_of_django(request: Any) -> Rule | None:
    return rule_for(request.path, request.headers.get("X-Engineer"))


def always(request: Any) -> Rule:
    return Rule(tenant="contoso", identifier="w-17", engineer=request.headers.get("X-Engineer"), action="list")


def django_app(guard: Guard, kind: str) -> Any:
    import django
    from django.conf import settings
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    settings.configure(
        SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, LOCKBOX_GUARD=guard,
        LOCKBOX_RULES=f"{__name__}.rules_of_django", MIDDLEWARE=["lockbox_guard.django.LockboxMiddleware"],
        DATABASES={}, INSTALLED_APPS=[], CACHES={},
    )  # fmt: skip
    django.setup()
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    from lockbox_guard.django import asgi, guarded, wsgi

    def page(request: Any, **values: str) -> HttpResponse:
        access = getattr(request, "lockbox", None)
        return HttpResponse(access.detail["reference"] if access else "free")

    @guarded(always)
    def marked(request: Any) -> HttpResponse:
        return HttpResponse(request.lockbox.action)

    def streamed(request: Any, **values: str) -> StreamingHttpResponse:
        return StreamingHttpResponse(trickle() if kind == "django" else trickle_async())

    urlpatterns.extend([
        path("w/<str:pk>/pages/<int:number>/", page), path("w/<str:pk>/trickle", streamed), path("free", page),
        path("marked", marked),
    ])  # fmt: skip
    return wsgi(get_wsgi_application()) if kind == "django" else asgi(get_asgi_application())


urlpatterns: list[Any] = []


def flask_app(guard: Guard) -> Any:
    from flask import Flask, Response, g, request

    from lockbox_guard.flask import install

    app = Flask("shop")
    install(app, guard, lambda request: rule_for(request.path, request.headers.get("X-Engineer")))

    @app.route("/w/<pk>/pages/<int:number>/", methods=["GET", "POST"])
    def page(pk: str, number: int) -> str:
        return str(g.lockbox.detail["reference"])

    @app.get("/w/<pk>/trickle")
    def streamed(pk: str) -> Response:
        return Response(trickle())

    @app.get("/free")
    def free() -> str:
        return "free" if "lockbox" not in request.headers.get("Cookie", "") else "it has our cookie"

    return app


def fastapi_app(guard: Guard) -> Any:
    from fastapi import APIRouter, FastAPI
    from fastapi.responses import StreamingResponse

    from lockbox_guard.starlette import install

    app, router = FastAPI(), APIRouter(prefix="/w/{pk}")

    @router.api_route("/pages/{number}/", methods=["GET", "POST"])
    def page(request: Request, pk: str, number: int) -> str:
        return str(request.scope["lockbox_guard.visit"].accesses[0].detail["reference"])

    @router.get("/trickle")
    def streamed(pk: str) -> StreamingResponse:
        return StreamingResponse(trickle_async(), media_type="text/event-stream")

    @app.get("/free")
    def free() -> str:
        return "free"

    app.include_router(router)
    install(app, guard, lambda connection: rule_for(connection.url.path, connection.headers.get("X-Engineer")))
    return app


async def _socket(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "tick"})
        await asyncio.sleep(0.05)


def socket_app(guard: Guard) -> Any:
    def rules(scope: Any) -> Rule | None:
        action = "view" if scope["path"].endswith("/watch") else None
        return Rule("contoso", "w-17", "ines@provider.example", action, "/w/{id}/socket")

    return ASGIGuard(_socket, guard, rules)


def made(kind: str, issuer: str, queue: str) -> Any:
    guard = Guard(issuer=issuer, service="quillo", client_id="shop", client_secret="secret", queue=queue,
                  origin="http://localhost:9")  # fmt: skip
    makers = {"flask": flask_app, "fastapi": fastapi_app, "socket": socket_app}
    return makers[kind](guard) if kind in makers else django_app(guard, kind)


def main() -> None:
    kind, port, issuer, queue = sys.argv[1:]
    app = made(kind, issuer, queue)
    if kind in ("django", "flask"):
        from werkzeug.serving import run_simple

        run_simple("127.0.0.1", int(port), app, threaded=True)
    elif kind == "socket":
        from granian.constants import Interfaces
        from granian.server.embed import Server

        asyncio.run(Server(app, address="127.0.0.1", port=int(port), interface=Interfaces.ASGINL).serve())
    else:
        uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", ws="none")


if __name__ == "__main__":
    main()

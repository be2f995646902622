"""A small Lockbox for tests of the guard alone: keys, tokens, feed and reports as the contract has them."""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwk, jws

RSA = jwk.RSAKey.generate_key(2048, {"kid": "rsa-1"})
EDDSA = jwk.OKPKey.generate_key("Ed25519", {"kid": "ed-1"})
TENANT, RESOURCE, ENGINEER = (str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in ("tenant", "resource", "engineer"))
ADDRESS = "ines@provider.example"


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class FakeLockbox:
    """Its time is that of this machine plus `ahead`. It gives more signs than Lockbox, so that tests don't wait."""

    grant = str(uuid.uuid5(uuid.NAMESPACE_DNS, "grant"))

    def __init__(self, port: int = 0) -> None:
        self.ahead, self.sign_every = 0.0, 0.2
        self.keys: list[Any] = [RSA, EDDSA]
        self.closed: list[dict[str, Any]] = []
        self.streams: list[queue.Queue[tuple[str, dict[str, Any]] | None]] = []
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self.lives: dict[str, str] = {}
        self.bodies: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.key_headers: list[dict[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.is_feed_cut = self.is_reporting_down = self.has_no_state = False
        self.has_too_many_guards = False
        self.bearer, self.loses_answers = "client-token", 0
        self.not_taken: str | None = None
        self.last_ids: list[str] = []
        self.sent_ids: list[str] = []
        self.before_feed: Callable[[], None] = lambda: None
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"lockbox": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.issuer = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.cut_feed()
        self.server.shutdown()
        self.server.server_close()

    def now(self) -> float:
        return time.time() + self.ahead

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return the claims of a token. `detail` changes those of its only resource."""
        now = int(self.now())
        window_end = changed.pop("window_end", now + 3600)
        detail = {
            "type": "lockbox_grant", "grant_id": self.grant, "reference": "AR-1",
            "level": "view", "actions": ["list", "view"], "tenant": TENANT, "tenant_slug": "contoso",
            "service": "quillo", "resource": RESOURCE, "identifier": "w-17", "window_end": stamp(window_end),
        } | changed.pop("detail", {})  # fmt: skip
        return {
            "iss": self.issuer, "aud": f"{self.issuer}/services/quillo", "sub": ENGINEER, "email": ADDRESS,
            "name": "Ines", "client_id": "lockbox", "iat": now, "exp": min(now + 300, int(window_end) + 1),
            "jti": str(uuid.uuid4()), "authorization_details": [detail],
        } | changed  # fmt: skip

    def token(self, key: Any = RSA, header: dict[str, Any] | None = None, **changed: Any) -> str:
        alg = "EdDSA" if isinstance(key, jwk.OKPKey) else "RS256"
        whole = {"typ": "at+jwt", "alg": alg, "kid": key.kid} | (header or {})
        return self.signed(whole, self.claims(**changed), key, whole["alg"])

    @staticmethod
    def signed(header: dict[str, Any], claims: dict[str, Any], key: Any, alg: str) -> str:
        """Return a token with any header: joserfc's own functions refuse to make most of the forged ones."""
        signed = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
        return f"{signed}.{encoded(jws.JWSRegistry.algorithms[alg].sign(signed.encode(), key))}"

    def send(self, kind: str, **message: Any) -> None:
        for stream in list(self.streams):
            stream.put((kind, message))

    def close(self, grant_id: str) -> None:
        ended = {"grant_id": grant_id, "closed_at": stamp(self.now()), "reason": "revoked"}
        self.closed.append(ended)
        self.send("closed", **ended)

    def cut_feed(self) -> None:
        """End all feeds, and accept no new one."""
        self.is_feed_cut = True
        for stream in list(self.streams):
            stream.put(None)

    @property
    def accesses(self) -> list[dict[str, Any]]:
        return [access for accesses in self.reports.values() for access in accesses]


class _Handler(BaseHTTPRequestHandler):
    lockbox: FakeLockbox

    def log_message(self, *arguments: Any) -> None:
        pass

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.lockbox.calls.append(self.path)
        if self.path == "/.well-known/jwks.json":
            self.lockbox.key_headers.append(dict(self.headers))
            return self.answer(200, {"keys": [key.as_dict(private=False) for key in self.lockbox.keys]})
        if urlsplit(self.path).path == "/api/v1/guard/feed":
            return self.feed()
        return self.answer(404, {})

    def do_POST(self) -> None:
        self.lockbox.calls.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/oauth/token":
            return self.answer(*self.token({name: values[0] for name, values in parse_qs(body.decode()).items()}))
        if self.headers["Authorization"] != f"Bearer {self.lockbox.bearer}":
            return self.answer(401, {})
        if self.path == "/api/v1/guard/accesses":
            return self.answer(*self.reports(json.loads(body)))
        if self.path == "/api/v1/guard/release":
            claims = json.loads(base64.urlsafe_b64decode(json.loads(body)["token"].split(".")[1] + "=="))
            self.lockbox.close(claims["authorization_details"][0]["grant_id"])
            return self.answer(200, {})
        return self.answer(404, {})

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.lockbox.forms.append(form)
        if self.headers["Authorization"] != "Basic " + base64.b64encode(b"shop:secret").decode():
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "client_credentials":
            return 200, {"access_token": self.lockbox.bearer, "expires_in": 3600}
        if form["grant_type"] == "authorization_code":
            code = self.lockbox.codes.pop(form["code"], None)
            challenge = encoded(hashlib.sha256(form["code_verifier"].encode()).digest())
            if code is None or code["challenge"] != challenge or code["redirect_uri"] != form["redirect_uri"]:
                return 400, {"error": "invalid_grant"}
            return 200, {"access_token": code["token"], "expires_in": 300}
        claims = json.loads(base64.urlsafe_b64decode(form["subject_token"].split(".")[1] + "=="))
        detail = claims["authorization_details"][0]
        end = datetime.fromisoformat(detail["window_end"]).timestamp()
        return 200, {"access_token": self.lockbox.token(detail=detail, window_end=end), "expires_in": 300}

    def reports(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lockbox.lock:
            if self.lockbox.is_reporting_down:
                return 503, {}
            self.lockbox.bodies.append(body)
            if self.lockbox.has_too_many_guards:
                return 409, {"code": "too_many_guards"}
            life, holder = body["life"], self.lockbox.lives.get(body["guard"])
            if holder != life and (body["accesses"] or (holder and holder not in body.get("former", [holder]))):
                return 409, {"code": "guard_copied"}
            self.lockbox.lives[body["guard"]] = life
            if any(self.lockbox.not_taken in (access["item"], "") for access in body["accesses"]):
                return 422, {"code": "unacceptable"}
            stored = self.lockbox.reports.setdefault(body["guard"], [])
            if body["first"] > len(stored) + 1:
                return 409, {"code": "reports_gap", "expected": len(stored) + 1}
            stored += body["accesses"][len(stored) + 1 - body["first"] :]
            if body["accesses"] and self.lockbox.loses_answers:
                self.lockbox.loses_answers -= 1
                return 502, {}
            return 200, {"acknowledged": len(stored), "rejected": 0}

    def feed(self) -> None:
        lockbox, stream = self.lockbox, queue.Queue[tuple[str, dict[str, Any]] | None]()
        lockbox.before_feed()
        if lockbox.is_feed_cut:
            return self.answer(503, {})
        if self.headers["Authorization"] != f"Bearer {lockbox.bearer}":
            return self.answer(401, {})
        lockbox.last_ids.append(self.headers["Last-Event-ID"])
        lockbox.streams.append(stream)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            if not lockbox.has_no_state:
                self.event("state", {"at": stamp(lockbox.now()), "closed": lockbox.closed})
            while True:
                try:
                    event = stream.get(timeout=lockbox.sign_every)
                except queue.Empty:
                    event = ("sign", {"at": stamp(lockbox.now())})
                if event is None:
                    return None
                self.event(*event)
        except OSError:
            return None
        finally:
            lockbox.streams.remove(stream)

    def event(self, kind: str, message: dict[str, Any]) -> None:
        self.lockbox.sent_ids.append(str(uuid.uuid4()))
        self.wfile.write(f"id: {self.lockbox.sent_ids[-1]}\nevent: {kind}\ndata: {json.dumps(message)}\n\n".encode())
        self.wfile.flush()

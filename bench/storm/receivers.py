"""Servers that receive the storm's mails and webhooks. They record everything, and can be made to behave badly."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.storm.installation import free_port


class MailServer:
    """An SMTP server that can misbehave. `manner` is how it treats the next connections.

    well: accepts every mail · hang: accepts the connection and sends nothing · deaf: accepts the mail, but cuts the
    connection before it confirms · busy: answers 451 to everything
    """

    def __init__(self, record: Path) -> None:
        self.port, self.manner = free_port(), "well"
        #: (Message-ID, recipient, bytes) of every mail that was received completely, even if the sender did not learn
        #: it.
        self.mails: list[tuple[str, str, bytes]] = []
        self._record = record.open("a", buffering=1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def serve() -> None:
            server = await asyncio.start_server(self._talk, "127.0.0.1", self.port, backlog=100)
            self._ready.set()
            async with server:
                await server.serve_forever()

        self._loop.run_until_complete(serve())

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.manner == "hang":
                await asyncio.sleep(30)
                return
            await self._session(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, OSError, ValueError):
            pass
        finally:
            writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(words: str) -> None:
            writer.write(f"{words}\r\n".encode())
            await writer.drain()

        recipients: list[str] = []
        await say("220 storm.example ready")
        while line := await reader.readline():
            verb = line.decode(errors="replace").strip()
            word = verb.upper().split(" ")[0].split(":")[0]
            if word in ("EHLO", "HELO"):
                await say("250 storm.example")
            elif word == "QUIT":
                await say("221 bye")
                return
            elif word == "DATA":
                await say("354 go on")
                body = await self._body(reader)
                if self.manner == "busy":
                    await say("451 come again later")
                    continue
                self._took(recipients, body)
                if self.manner == "deaf":
                    return
                await say("250 taken")
                recipients = []
            elif word == "RCPT":
                recipients.append(verb.partition("<")[2].partition(">")[0])
                await say("250 ok")
            else:
                await say("250 ok")

    @staticmethod
    async def _body(reader: asyncio.StreamReader) -> bytes:
        lines: list[bytes] = []
        while True:
            line = await reader.readuntil(b"\n")
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b"..") else line)

    def _took(self, recipients: list[str], body: bytes) -> None:
        found = str(message_from_bytes(body)["Message-ID"])
        for recipient in recipients:
            self.mails.append((found, recipient, body))
        self._record.write(json.dumps({"at": time.time(), "id": found, "to": recipients, "size": len(body)}) + "\n")


class Hooks:
    """A server that receives webhooks. `manner` is how it answers.

    well · fail (500) · slow · endless (an answer without an end) · cut
    """

    def __init__(self, record: Path) -> None:
        self.port, self.manner = free_port(), "well"
        #: (path, webhook-id, body) of every message that was received completely.
        self.messages: list[tuple[str, str, bytes]] = []
        self._record = record.open("a", buffering=1)
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                hooks.took(self.path, self.headers.get("webhook-id", ""), body)
                hooks.answer(self)

            def log_message(self, *words: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def took(self, path: str, number: str, body: bytes) -> None:
        self.messages.append((path, number, body))
        self._record.write(json.dumps({"at": time.time(), "path": path, "id": number}) + "\n")

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        try:
            if self.manner == "cut":
                handler.close_connection = True
                return
            if self.manner == "slow":
                time.sleep(10)
            status = 500 if self.manner == "fail" else 200
            handler.send_response(status)
            if self.manner == "endless":
                handler.end_headers()
                until = time.monotonic() + 20
                while time.monotonic() < until:
                    handler.wfile.write(b"x" * 65_536)
                handler.close_connection = True
                return
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        except OSError:
            handler.close_connection = True

"""Passes mails to an SMTP server, with limits on the time of each dialogue and on the length of each answer.

Python's library limits only the time of each single read, and not the number of lines in an answer. So a server that
sends a line every few seconds would block a worker for hours, and a server with an endless greeting would fill the
memory.
"""

from __future__ import annotations

import io
import smtplib
from typing import Any

from django.conf import settings
from django.core.mail.backends import smtp

from requests_app.domain import clock
from requests_app.platform import outbound

#: The most bytes of one answer, with all its lines.
MOST_ANSWER = 64 * 1024
#: The seconds for one mail, as a multiple of EMAIL_TIMEOUT. EMAIL_TIMEOUT itself limits the connection, TLS and the
#: login together.
_MAIL_TIMES = 2
#: Seconds for QUIT.
_QUIT_SECONDS = 1.0


class _Bounded(smtplib.SMTP):
    """An SMTP connection on which every wait ends at the time `until`."""

    until: float = 0
    #: The server's answer to the last mail that it accepted.
    answer: tuple[int, bytes] = (0, b"")
    _incoming: outbound.Incoming | None = None

    def __init__(self, host: str, port: int, *, timeout: float, **more: Any) -> None:
        self.allow(timeout)
        super().__init__(host, port, timeout=timeout, **more)

    def allow(self, seconds: float) -> None:
        """Set the end of all following waits, as a number of seconds from now."""
        self.until = clock.monotonic() + seconds

    def send(self, s: Any) -> None:
        data = s.encode(self.command_encoding) if isinstance(s, str) else s
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("please run connect() first")
        try:
            outbound.send(self.sock, data, self.until)
        except OSError as error:
            self.close()
            raise smtplib.SMTPServerDisconnected("Server not connected") from error

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.answer = super().data(msg)
        return self.answer

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self._incoming = outbound.Incoming(self.sock, self.until, MOST_ANSWER)
            self.file: Any = io.BufferedReader(self._incoming)
        if self._incoming is not None:
            self._incoming.until, self._incoming.room = self.until, MOST_ANSWER
        return super().getreply()

    def starttls(self, *args: Any, **more: Any) -> tuple[int, bytes]:
        if self.sock is not None:
            self.sock.settimeout(outbound.left(self.until))
        return super().starttls(*args, **more)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        return outbound.first(outbound.resolved(host, self.until)[: outbound.MOST_ADDRESSES], port, self.until)


class _BoundedTLS(_Bounded, smtplib.SMTP_SSL):
    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        plain = super()._get_socket(host, port, timeout)
        try:
            plain.settimeout(outbound.left(self.until))
            return self.context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise


class EmailBackend(smtp.EmailBackend):
    """Django's SMTP backend, with limits on each dialogue."""

    connection: _Bounded | None

    @property
    def connection_class(self) -> type[_Bounded]:
        return _BoundedTLS if self.use_ssl else _Bounded

    def _send(self, email_message: Any) -> bool:
        if self.connection is not None:
            self.connection.allow(_MAIL_TIMES * settings.EMAIL_TIMEOUT)
        return bool(super()._send(email_message))  # type: ignore[misc]  # the stubs leave it out

    def _close_connection(self, connection: _Bounded) -> None:
        """Send QUIT and close the connection. It does not matter what the server answers, or whether it does."""
        try:
            connection.allow(_QUIT_SECONDS)
            connection.quit()
        except (OSError, smtplib.SMTPException):
            pass
        finally:
            connection.close()

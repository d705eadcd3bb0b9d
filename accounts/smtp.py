"""SMTP that comes to an end: each step has a timeout, and all of it a limit, however slowly a server drips."""

import contextlib
import smtplib
import socket
import threading
from collections.abc import Sequence
from typing import Any, Self

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

STEP = 20  # seconds in which a server answers each command
WHOLE = 300  # seconds for what is sent over one connection
_conversations: set["_Conversation"] = set()


def cut_off() -> None:
    """End what this process is saying to mail servers: it has failed, and is tried again later."""
    for each in list(_conversations):
        each.end()


class _Conversation:
    """The connections that are made while the block runs; ended at its limit, or by `end` from any thread."""

    def __init__(self) -> None:
        self._connections: list[socket.socket] = []
        self._limit = threading.Timer(WHOLE, self.end)
        self._limit.daemon = True

    def __enter__(self) -> Self:
        _conversations.add(self)
        self._limit.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._limit.cancel()
        _conversations.discard(self)
        for each in self._connections:
            each.close()

    def watch(self, connection: socket.socket) -> None:
        # Another descriptor of it: encryption takes the first one over.
        self._connections.append(connection.dup())

    def end(self) -> None:
        for each in self._connections:
            with contextlib.suppress(OSError):  # over by itself
                each.shutdown(socket.SHUT_RDWR)


class _Smtp(smtplib.SMTP):
    conversation: _Conversation

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self.conversation.watch(connection)
        return connection


class _SmtpSsl(smtplib.SMTP_SSL, _Smtp):
    """Watched as soon as it is connected, before anything is encrypted."""


class LimitedBackend(EmailBackend):
    @property
    def connection_class(self) -> type[Any]:
        kind = _SmtpSsl if self.use_ssl else _Smtp
        return type("Connection", (kind,), {"conversation": self._conversation})

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        with _Conversation() as self._conversation:
            return super().send_messages(email_messages)

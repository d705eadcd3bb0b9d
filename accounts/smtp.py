"""SMTP with time limits: one for each command, and one for the whole conversation, against servers that drip bytes."""

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
    """Close all SMTP connections of this process: sending then fails, and is tried again later."""
    for each in list(_conversations):
        each.end()


class _Conversation:
    """Context manager: the connections made in its block end after WHOLE seconds, or by `end` from any thread."""

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
        # Duplicate the descriptor, because TLS takes over the first one.
        self._connections.append(connection.dup())

    def end(self) -> None:
        for each in self._connections:
            with contextlib.suppress(OSError):  # already closed
                each.shutdown(socket.SHUT_RDWR)


# Registers each new socket with its conversation, which can then close it.
class _Smtp(smtplib.SMTP):
    conversation: _Conversation

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self.conversation.watch(connection)
        return connection


class _SmtpSsl(smtplib.SMTP_SSL, _Smtp):
    """Through `_Smtp`, the socket is watched as soon as it is connected, before the TLS handshake."""


class LimitedBackend(EmailBackend):
    @property
    def connection_class(self) -> type[Any]:
        # Django creates the connection from this class, so the conversation has to be an attribute of the class.
        kind = _SmtpSsl if self.use_ssl else _Smtp
        return type("Connection", (kind,), {"conversation": self._conversation})

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        with _Conversation() as self._conversation:
            return super().send_messages(email_messages)

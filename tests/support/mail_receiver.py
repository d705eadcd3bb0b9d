"""A local mail server for tests, as fast or as slow as a test needs it."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Behave = Callable[["_Conversation"], None]


class _Conversation(socketserver.StreamRequestHandler):
    server: "MailServer"

    def handle(self) -> None:
        self.server.begun.append(1)
        self.server.called.set()
        self.server.behave(self)
        self.say("220 here")
        while line := self.rfile.readline():
            verb, _space, rest = line.decode().strip().partition(" ")
            if verb.upper() == "RCPT":
                self.server.recipients.append(rest.partition("<")[2].partition(">")[0])
            if verb.upper() == "DATA":
                self.say("354 go on")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
            self.say("221 bye" if verb.upper() == "QUIT" else "250 fine")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def prompt(_conversation: _Conversation) -> None:
    """Answer at once."""


def silent(conversation: _Conversation) -> None:
    conversation.server.let_go.wait(120)


def dripping(conversation: _Conversation) -> None:
    """Send one byte from time to time, so that no single read ever times out."""
    while not conversation.server.let_go.wait(0.2):
        conversation.wfile.write(b"2")


class MailServer(socketserver.ThreadingTCPServer):
    """`begun` has an entry for each connection; `recipients` are those of accepted messages, in order."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, behave: Behave) -> None:
        self.behave, self.begun, self.recipients = behave, list[int](), list[str]()
        self.called, self.let_go = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), _Conversation)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_arguments: object) -> None:
        """Ignore clients that hang up: some tests do that on purpose."""


@contextmanager
def mail_server(behave: Behave = prompt) -> Iterator[MailServer]:
    server = MailServer(behave)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        server.server_close()

"""The servers of `make serve` and `make run` for tests: real processes on a free port; requests are raw bytes."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import databases
from scripts.start import server_command

ROOT = Path(__file__).parents[2]
SECONDS = 1  # REQUEST_SECONDS of these servers


@dataclasses.dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    key: str
    labs: str
    brage: str
    member: str
    session: str
    database: str

    def open(self, *pieces: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        for piece in pieces:
            connection.sendall(piece)
        return connection

    def exchange(self, *pieces: bytes) -> bytes:
        """Everything that is received until the server closes the connection, on request or by itself."""
        with self.open(*pieces) as connection:
            return received(connection)

    def head(self, method: str, path: str, *headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.key}"]
        lines += ["Content-Type: application/json", *headers]
        return "\r\n".join([*lines, "", ""]).encode()

    def healthy(self) -> bool:
        return self.exchange(self.head("GET", "/healthz", "Connection: close")).startswith(b"HTTP/1.1 200")

    def setting(self) -> str:
        """The stored choice for Le Chat."""
        path = f"/api/v1/organizations/{self.labs}/privacy-settings/le_chat_console/"
        return str(json.loads(body(self.exchange(self.head("GET", path, "Connection: close"))))["choice"])

    def opting_out(self, *headers: str) -> bytes:
        return self.head("PUT", f"/api/v1/organizations/{self.labs}/privacy-settings/le_chat_console/", *headers)


def received(connection: socket.socket) -> bytes:
    """Everything received until the connection is closed, or until it takes too long."""
    answer = b""
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@contextlib.contextmanager
def served(*, development: bool = False, **more: str) -> Iterator[Server]:
    """A server with its own database, which holds one organization of the cast, without a choice."""
    url = os.environ.get("DATABASE_URL", "")
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(databases.place(url if url.startswith("postgres") else ""))
        database = stack.enter_context(databases.existing(where, f"serving_{os.urandom(4).hex()}"))
        settings = {
            "DEBUG": "true",
            "REQUEST_SECONDS": str(SECONDS),
            "REQUIRE_MFA": "false",
            "LOG_LEVEL": "ERROR",
            **more,
        }
        environment = databases.environment(database, **settings)
        made = subprocess.run(
            [sys.executable, "-m", "tests.serving.prepare"],
            cwd=ROOT, env={**environment, "WITNESS": ""}, check=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        command = server_command(port, 1, SECONDS)
        if development:
            command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        _wait_for(port, process)
        yield Server(port, process, **json.loads(made.stdout.splitlines()[-1]), database=database)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30):
            return
        time.sleep(0.05)
    raise RuntimeError("the server has ended")

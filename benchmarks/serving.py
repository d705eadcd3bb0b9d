"""A server with one worker on one core: the portal as `make serve` starts it, or another server or application."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from scripts.start import server_command

from . import databases

PORTAL = "config.wsgi:application"
SERVERS = ("granian", "gunicorn")
_SECONDS_TO_START = 30


class Served:
    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self._process = port, process

    def memory(self) -> float:
        """Resident memory in MiB of the server's largest process, the worker."""
        # The server and its direct children: the fields after the last ")" in stat are state, parent's pid, …
        pids = [str(self._process.pid)]
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if path.read_text().rpartition(")")[2].split()[1] == str(self._process.pid):
                    pids.append(path.parent.name)
        return max(_resident(pid) for pid in pids)


def _resident(pid: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


def _command(kind: str, port: int, application: str) -> list[str]:
    """The command. `granian` serves the portal as `make serve` does; `granian-wsgi` uses WSGI with one thread."""
    if kind == "granian" and application == PORTAL:
        return server_command(port, 1)
    if kind == "gunicorn":
        options = ["--no-control-socket", "--workers", "1", "--bind", f"127.0.0.1:{port}"]
    else:
        kind, threads = "granian", ["--blocking-threads", "1", "--workers", "1"]
        options = ["--interface", "wsgi", *threads, "--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", kind, *options, "--log-level", "warning", application]


@contextlib.contextmanager
def server(url: str, application: str, settings: str, kind: str = "granian", **more: str) -> Iterator[Served]:
    """Context manager: runs a server during the block; `more` are additional settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = _command(kind, port, application)
    environment = databases.environment(url, DJANGO_SETTINGS_MODULE=settings, **more)
    process = subprocess.Popen(command, cwd=databases.ROOT, env=environment)
    try:
        with contextlib.suppress(AttributeError, OSError):  # not every system supports it
            os.sched_setaffinity(process.pid, {0})
        _await(port, process)
        yield Served(port, process)
    finally:
        process.terminate()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < limit and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz")
        # An error status counts as well: the server answers.
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not start")

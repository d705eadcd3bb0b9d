"""A simulated user of the console, over HTTP: signs in and flips switches with the requests that the page sends."""

import contextlib
import http.client
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from . import databases

_FIELD = re.compile(r'name="(choice|version|csrfmiddlewaretoken)" value="([^"]*)"')
_SECONDS_TO_START = 60


@contextlib.contextmanager
def server(url: str) -> Iterator[int]:
    """Run the development server, as `make run` does, on a free local port; yields the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = ("manage.py", "runserver", "--noreload", f"127.0.0.1:{port}")
    # DEBUG serves static files without collectstatic; LOG_LEVEL hides the log line of each request.
    process = databases.start(url, *command, DEBUG="true", LOG_LEVEL="ERROR", DJANGO_RUNSERVER_HIDE_WARNING="true")
    try:
        _wait_for(process, port)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait_for(process: subprocess.Popen[str], port: int) -> None:
    until = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError("the server does not answer")


class Person:
    """A signed-in user with one connection. Every unexpected response raises RuntimeError."""

    def __init__(self, port: int, email: str, password: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookies: dict[str, str] = {}
        form = self._fields(self._ask("GET", "/sign-in/", expected=200)[1])
        self._ask("POST", "/sign-in/", form | {"login": email, "password": password}, expected=302)

    def look(self, path: str) -> dict[str, str]:
        """Load the page; returns the form fields that its switch would send."""
        return self._fields(self._ask("GET", path, expected=200)[1])

    def flip(self, path: str, switch: dict[str, str]) -> tuple[float, dict[str, str] | None]:
        """Flip the switch; returns the seconds until the response, and the new form fields.

        The fields are None if the setting had been changed in between (412).
        """
        begun = time.perf_counter()
        status, page = self._ask("POST", path, switch | {"confirmed": "yes"}, htmx=True)
        seconds = time.perf_counter() - begun
        if status not in (200, 412):
            raise RuntimeError(f"POST {path} was answered with {status}")
        return seconds, self._fields(page) if status == 200 else None

    def _ask(
        self, method: str, path: str, form: dict[str, str] | None = None, *, expected: int = 0, htmx: bool = False
    ) -> tuple[int, str]:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if htmx:
            headers["HX-Request"] = "true"
        self._connection.request(method, path, urlencode(form) if form is not None else None, headers)
        response = self._connection.getresponse()
        page = response.read().decode()
        for line in response.headers.get_all("Set-Cookie", []):
            self._cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        if expected and response.status != expected:
            raise RuntimeError(f"{method} {path} was answered with {response.status}")
        return response.status, page

    @staticmethod
    def _fields(page: str) -> dict[str, str]:
        """The form fields of a page; the first of each name counts, because the switch comes before the dialog."""
        found: dict[str, str] = {}
        for name, value in _FIELD.findall(page):
            found.setdefault(name, value)
        return found

"""Callers of the API: each person of the cast with a session, and API keys of every kind."""

import dataclasses
import functools
import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.client import ClientHandler

from accounts.models import OPERATOR_SCOPES, ApiKey, Organization, User
from config import timeouts
from config.fast_path import Handler, takes
from consent.models import ConsentEvent, PrivacySetting
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.keys import issue_key

V1 = "/api/v1/"
ALL_SCOPES = tuple(ApiKey.Scope.values)
ORGANIZATION_SCOPES = tuple(scope for scope in ALL_SCOPES if scope not in OPERATOR_SCOPES)
PEOPLE = ("owner", "admin", "auditor", "member", "outsider", "operator")


@functools.cache
def _handler() -> Handler:
    return Handler()


class _ClientHandler(ClientHandler):
    def get_response(self, request: HttpRequest) -> HttpResponse:
        environ = request.environ  # type: ignore[attr-defined]
        if not takes(environ):
            return super().get_response(request)
        # What `Handler` does around it would close the connection in the test's transaction.
        with timeouts.limited(timeouts.for_decisions()):
            return _handler().reply(environ).response()


def served(environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body, as a server gets them from the handler; not for a test within a transaction."""
    started: list[Any] = []
    body = b"".join(_handler()(environ, lambda *given: started.append(given)))
    ((status, headers),) = started
    return status, headers, body


class ServedClient(Client):
    """Django's test client, but questions take the fast path, as they do from a server; and it names the host."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"HTTP_HOST": "testserver", **options})
        self.handler = _ClientHandler(enforce_csrf_checks=options.get("enforce_csrf_checks", False))


@dataclasses.dataclass
class Caller:
    """Sends JSON to a path below /api/v1/, or to an absolute path; a `body` of bytes is sent unchanged."""

    client: Client
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(
            method,
            path if path.startswith(("/", "http")) else V1 + path,
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body),
            sent.pop("content-type", "application/json"),
            headers={**self.headers, **sent},
        )

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> HttpResponse:
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> HttpResponse:
        return self("PUT", path, body, **headers)

    def patch(self, path: str, body: Any) -> HttpResponse:
        return self("PATCH", path, body)

    def delete(self, path: str, body: Any = None) -> HttpResponse:
        return self("DELETE", path, body)


def by_key(*scopes: str, organization: Organization | None = None, issued_by: User | None = None) -> Caller:
    _key, text = issue_key("a service", scopes, organization=organization, issued_by=issued_by)
    return Caller(ServedClient(), {"Authorization": f"Bearer {text}"})


def by_session(person: Any, **client: Any) -> Caller:
    caller = Caller(ServedClient(**client))
    caller.client.force_login(person)
    return caller


@dataclasses.dataclass
class World:
    """The cast and its callers: people, and keys of Kvasir Labs, of Brage and of the operator."""

    cast: Cast
    callers: dict[str, Caller]

    def __getattr__(self, role: str) -> Caller:
        try:
            return vars(self)["callers"][role]  # which are not there yet while this is unpickled
        except KeyError:
            raise AttributeError(role) from None

    @property
    def labs(self) -> str:
        return f"organizations/{self.cast.labs.pk}/"

    @property
    def dag(self) -> str:
        """The plain member of Kvasir Labs."""
        return f"{self.labs}members/{self.cast.labs_member.pk}/"


def make_world() -> World:
    cast = casting.make()
    callers = {role: by_session(getattr(cast, role)) for role in PEOPLE}
    callers |= {
        "anonymous": Caller(ServedClient()),
        "key": by_key(*ORGANIZATION_SCOPES, organization=cast.labs),
        "foreign_key": by_key(*ORGANIZATION_SCOPES, organization=cast.brage),
        "operator_key": by_key(*ALL_SCOPES, issued_by=cast.operator),
        "narrow_key": by_key("webhooks:write"),
    }
    return World(cast, callers)


def state() -> tuple[list[Any], list[Any]]:
    """All settings and all events, which a refused write must not change."""
    return list(PrivacySetting.objects.order_by("pk").values()), list(ConsentEvent.objects.order_by("pk").values())


def last_event() -> ConsentEvent:
    return ConsentEvent.objects.order_by("pk").last()  # type: ignore[return-value]


def assert_problem(response: HttpResponse, status: int, code: str, *pointers: str) -> None:
    """Check that the answer is a problem (RFC 9457), whichever part of the software it comes from."""
    assert response["Content-Type"] == "application/problem+json", response.content
    body = json.loads(response.content)
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    assert {"type", "title", "detail", "errors", "request_id"} <= body.keys()
    assert body["detail"] and body["request_id"] == response["X-Request-ID"]
    assert status != 401 or response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert [error["pointer"] for error in body["errors"]] == list(pointers)
    assert all(error["detail"] for error in body["errors"])

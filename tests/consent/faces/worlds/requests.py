"""Every request that an organization's people and keys can make, from the URLconf and the OpenAPI description."""

import dataclasses
import functools
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from consent.api.examples import EXAMPLES
from tests.support.permission_matrix import routes

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNUSUAL = ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
# The routes for programs: keys are not accepted elsewhere.
OF_KEYS = ("api/", "access/", ".well-known/", "metrics", "healthz", "readyz")
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")


@dataclasses.dataclass(frozen=True)
class Sent:
    method: str
    path: str
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_api(self) -> bool:
        return self.method not in ("HEAD", "OPTIONS") and self.path.startswith("/api/v1/")

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body.decode()[:200]}"


Values = dict[str, tuple[str, ...]]


def paths(route: str, values: Values) -> list[str]:
    """The paths of a route with each value of each parameter; raises KeyError for a parameter without values."""
    found = [route.replace("^", "").replace("$", "")]
    for match in _PARAMETER.finditer(route):
        name = match[1] or match[2]
        found = [path.replace(match[0], value) for path in found for value in values[name]]
    return [f"/{path}" for path in found]


@functools.cache
def bodies() -> dict[tuple[str, str], list[Any]]:
    """(method, route) → the example bodies in the OpenAPI description."""
    described = Client().get("/api/schema/").json()
    found: dict[tuple[str, str], list[Any]] = {}
    for path, operations in described["paths"].items():
        route = re.sub(r"\{(\w+)\}", r"<str:\1>", path.lstrip("/"))
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
            shown = [example["value"] for example in content.get("examples", {}).values()]
            found[method.upper(), route] = shown
    return found


def described_routes() -> set[str]:
    return {route for _method, route in bodies()}


def every(values: Values, *, among: tuple[str, ...] = ("",), replaced: dict[str, str] | None = None) -> Iterator[Sent]:
    """Every route of the URLconf with every method, each described body, and an empty one.

    `replaced` maps ids in the description's examples to ids of this world.
    """
    shown = bodies()
    for route in dict.fromkeys([*routes(), *described_routes()]):
        if not route.startswith(among):
            continue
        for path in paths(route, values):
            for method in METHODS:
                if method in ("GET", "HEAD", "OPTIONS"):
                    yield Sent(method, path)
                    continue
                for body in [*shown.get((method, route), []), {}]:
                    text = json.dumps(body)
                    for known, ours in (replaced or {}).items():
                        text = text.replace(known, ours)
                    yield Sent(method, path, text.encode())


def form(path: str, **fields: str) -> Sent:
    return Sent("POST", path, urlencode(fields).encode(), FORM)


EXAMPLE_ORGANIZATION: str = EXAMPLES["OrganizationOutput"]["id"]
EXAMPLE_MEMBER: str = EXAMPLES["MemberOutput"]["id"]


def some_id(n: int) -> str:
    """An id that nothing has."""
    return str(uuid.UUID(int=n))

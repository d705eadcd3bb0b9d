"""Acts as somebody would do them at each face: by a service, a call of the API, a form and its questions, a command."""

import dataclasses
import html
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import resolve, reverse

from consent.errors import ServiceError
from consent.models import PrivacySetting
from tests.support import cast as casting
from tests.support.asking import confirm
from tests.support.callers import V1, World
from tests.support.commands import run
from tests.support.factories import OPERATOR

Ids = dict[str, str]  # what stands in braces in a path, a body or a command line → its value


@dataclasses.dataclass(frozen=True)
class Answer:
    """`code`: the status, of a service its error's, of a command its exit code; `said`: what a person reads."""

    code: int
    said: str


@dataclasses.dataclass(frozen=True)
class Service:
    act: Callable[[World, Ids], object]
    place: str = ""

    def __call__(self, world: World, ids: Ids) -> Answer:
        try:
            self.act(world, ids)
        except ServiceError as error:
            return Answer(error.http_status, str(error))
        return Answer(200, "")


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of the API, with `If-Match` where what it changes has a version."""

    method: str
    path: str
    body: Any = None
    who: str = "operator_key"

    @property
    def place(self) -> str:
        blank = self.path.format_map(_Blank())
        return f"{self.method} {resolve(V1 + blank).route}"

    def __call__(self, world: World, ids: Ids) -> Answer:
        path = self.path.format_map(ids)
        caller = world.callers[self.who]
        body = None if self.body is None else _filled(self.body, ids)
        etag = caller.get(path).headers.get("ETag", "") if self.method in ("PUT", "PATCH") else ""
        answer = caller(self.method, path, body, **({"if_match": etag} if etag else {}))
        said = answer.content.decode()
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json", said
            problem = json.loads(said)
            said = f"{problem['code']}: {problem['detail']}"
        return Answer(answer.status_code, said)


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of a page, as a browser sends it. What it asks is answered; an opt-in is first asked about."""

    place: str  # the URL's name
    args: tuple[str, ...] = ()
    sent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    who: str = "operator"

    def __call__(self, world: World, ids: Ids) -> Answer:
        path = reverse(self.place, args=[each.format_map(ids) for each in self.args])
        sent = _filled(dict(self.sent), ids)
        client = client_of(world, self.who)
        if "confirmed" in sent:
            asked = client.post(path, {name: value for name, value in sent.items() if name != "confirmed"})
            assert asked.status_code == 200, asked.content
            return _read(client.post(path, sent))
        return _read(confirm(client, path, sent))


def client_of(world: World, who: str) -> Client:
    if who in world.callers:
        return world.callers[who].client
    return casting.signed_in(who)


def _read(answer: HttpResponse) -> Answer:
    return Answer(answer.status_code, html.unescape(answer.content.decode()))


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line; `text` is the file that `{file}` in it names."""

    argv: tuple[str, ...]
    text: str = ""
    actor: str = OPERATOR

    @property
    def place(self) -> str:
        return self.argv[0]

    def __call__(self, world: World, ids: Ids) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "file.csv"
            file.write_text(self.text.format_map(ids))
            argv = [each.format_map({**ids, "file": str(file)}) for each in self.argv]
            by = ["--actor", self.actor] if self.actor else []
            done = run(*argv, *by)
        return Answer(done.code, done.err)


class _Blank(dict[str, str]):
    """Any id: to find out which URL a path is of."""

    def __missing__(self, name: str) -> str:
        return "x"


def _filled(value: Any, ids: Ids) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, ids) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, ids) for each in value]
    return value.format_map(ids) if isinstance(value, str) else value


Face = Service | Call | Form | Command
Before = Callable[[World], Ids | None]


def nothing(_world: World) -> None:
    """There is nothing to be prepared."""


@dataclasses.dataclass(frozen=True)
class Act:
    """`kind`: of the event that the act writes; `later`: somebody has to approve it, or a worker to run it, first.

    `before` brings the world into the state in which the act does something, and returns the ids it needs.
    """

    kind: str
    faces: Mapping[str, Face]
    before: Before = nothing
    later: bool = False


def ids_of(world: World, more: Ids | None) -> Ids:
    """With the versions as they are now, which forms send along."""
    cast = world.cast
    versions = PrivacySetting.objects.filter(organization=cast.labs).values_list("member", "product", "version")
    stored = {"own" if member else product: str(version) for member, product, version in versions}
    fixed = {"labs": str(cast.labs.pk), "brage": str(cast.brage.pk), "dag": str(cast.labs_member.pk)}
    return {"own": "0", "le_chat": "0", "ai_studio": "0", **stored, **fixed, **(more or {})}

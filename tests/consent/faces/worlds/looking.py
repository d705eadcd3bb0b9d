"""Everything that an organization's people and keys see of a world: every answer, webhook and e-mail."""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from django.db import connection, reset_queries, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.fields import MICROSECOND
from accounts.models import ApiKey, Invitation, OutgoingMessage
from consent.models import ConsentEvent
from tests.consent.faces.worlds.histories import World
from tests.consent.faces.worlds.requests import (
    EXAMPLE_MEMBER,
    EXAMPLE_ORGANIZATION,
    FORM,
    OF_KEYS,
    UNUSUAL,
    Sent,
    Values,
    every,
    form,
    some_id,
)
from tests.support.asking import agreed, asks

# Removed before comparing: the latency of a receiver differs by chance.
_LATENCY = re.compile(rb'("latency_ms": ?)\d+|\d+( ms</td>)')
# The callers after whose changes the history is read; one person and one key are enough, the changes are the same.
_LOOK_AFTER = ("owner", "all")
_ELSEWHERE = "203.0.113.7"


@dataclasses.dataclass(frozen=True)
class Seen:
    """One answer; `queries` is the number of database queries that it took."""

    who: str
    sent: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    queries: int


class Callers:
    """The organization's people with sessions, without the one whose choice is hidden, and its keys."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clients = {role: _signed_in(member.user) for role, member in world.ours.people.items()}
        self.keys = world.ours.keys
        self._cookies = {role: client.cookies.output() for role, client in self.clients.items()}
        self._plain = Client()

    @property
    def people(self) -> list[str]:
        return list(self.clients)

    def call(self, who: str, sent: Sent) -> Seen:
        """Send the request and return its answer; the caller has to roll back what it changed."""
        client, headers = self.clients.get(who, self._plain), dict(sent.headers)
        client.cookies = SimpleCookie(self._cookies.get(who, "").replace("Set-Cookie: ", ""))
        if who in self.keys:
            headers["Authorization"] = f"Bearer {self.keys[who]}"
        self.world.clock.repeat(f"{who} {sent}")
        reset_queries()
        with CaptureQueriesContext(connection) as asked:
            response, body = _answer(client, sent, headers)
            if sent.content_type == FORM and asks(response):  # what it says is seen, and then it is done
                confirmed = b"&".join([sent.body, urlencode(agreed(response)).encode()])
                response, done = _answer(client, dataclasses.replace(sent, body=confirmed), headers)
                body += done
        body, timed = _LATENCY.subn(rb"\1\2", body)
        if timed:
            response["Content-Length"], response["ETag"] = str(len(body)), "of the latency too"
        told = (*sorted(response.items()), *(("Set-Cookie", each.output()) for each in response.cookies.values()))
        return Seen(who, str(sent), response.status_code, told, body, len(asked))


def _answer(client: Client, sent: Sent, headers: dict[str, str]) -> tuple[Any, bytes]:
    response = client.generic(
        sent.method, sent.path, sent.body, sent.content_type, REMOTE_ADDR=_ELSEWHERE,
        headers={**headers, "X-Request-ID": "the-same"},
    )  # fmt: skip
    return response, b"".join(response.streaming_content) if response.streaming else response.content


def _signed_in(person: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(person)
    return client


def values(world: World) -> Values:
    """Values for the parameters of URLs; a parameter without an entry makes `paths` fail."""
    ours = world.ours
    key = ApiKey.objects.filter(organization=ours.organization).order_by("pk").first()
    invitation = Invitation.objects.order_by("pk").first()
    chooser = str(ours.chooser.pk)
    attempt = ours.hooks[0].attempts.order_by("pk").first()
    # The newest choices of members, of whichever side, so that the hidden ones are among them; and of anything else.
    newest = ConsentEvent.objects.order_by("-pk").values_list("pk", flat=True)
    events = tuple(str(pk) for of_member in (False, True) for pk in newest.exclude(member_id__isnull=of_member)[:3])
    return {
        "organization": (str(ours.organization.pk),),
        "org": (str(ours.organization.pk),),
        "member": (chooser,),
        "product": ("le_chat",),
        "surface": ("le_chat_console", "le_chat_mobile"),
        "webhook": (str(ours.hooks[0].pk),),
        "attempt": (str(attempt.pk if attempt else 1),),
        "job": (some_id(1),),
        "form": ("csv", "jsonl"),
        "secret": ("x" * 43,),
        "invitation": (str(invitation.pk) if invitation else some_id(2),),
        "key": (str(key.pk) if key else some_id(3),),
        "value": ("m-1",),
        "uidb36": ("abc",),
        "pk": ("1",),
        "_path": ("v1/nowhere/",),
        "url": ("nowhere/",),
        "app_label": ("consent",),
        "content_type_id": ("1",),
        "object_id": (chooser,),
        "file_id": (some_id(4),),
        "verb": ("pause",),
        "what": ("rows",),
        "consumer": (str(world.consumer.consumer.pk),),
        "number": events,
        "event": events,
        "place": ("0/000.p/1", "entries/000"),
        "run": (some_id(5),),
        "position": ("7",),
        "name": ("manifest.json",),
        "batch": (some_id(6),),
    }


def requests(world: World, who: str) -> Iterator[Sent]:
    """The requests that a caller makes: every URL with the described examples, forms of pages, and questions."""
    replaced = {EXAMPLE_MEMBER: str(world.ours.chooser.pk), EXAMPLE_ORGANIZATION: str(world.ours.organization.pk)}
    by_key = who in world.ours.keys
    asked = every(values(world), among=OF_KEYS if by_key else ("",), replaced=replaced)
    # Methods that neither pages nor programs use are tried by one person and one key only, to save time.
    yield from (sent for sent in asked if who in ("admin", "all") or sent.method not in UNUSUAL or sent.is_api)
    yield from questions(world)
    yield from _lists(world)
    if not by_key:
        yield from forms(world)


def _lists(world: World) -> Iterator[Sent]:
    """Lists with filters and paging, filtered by the chooser where possible."""
    labs, chooser = f"/api/v1/organizations/{world.ours.organization.pk}/", world.ours.chooser
    for query in ("limit=1", f"member={chooser.pk}", f"actor={chooser.user_id}", "kind=choice.opted_out", "after=3",
                  "surface=le_chat_mobile", "product=le_chat", f"since={_instants()[0]}"):  # fmt: skip
        yield Sent("GET", f"{labs}events/?{query}")
    yield Sent("GET", f"{labs}members/?limit=1")
    for query in ("search=o", "plan=le_chat_pro", "external_id=ours", "external_id=theirs"):
        yield Sent("GET", f"/api/v1/organizations/?{query}")
    for product in ("le_chat", "ai_studio"):
        yield Sent("GET", f"/o/{world.ours.organization.pk}/history/?product={product}")
    for hook in world.ours.hooks:
        for after in (0, 1, 10**6):
            yield Sent("POST", f"/api/v1/webhooks/{hook.pk}/replay/", json.dumps({"after": after}).encode())


def forms(world: World) -> Iterator[Sent]:
    """What the console's forms post."""
    ours, chooser = f"/o/{world.ours.organization.pk}/", str(world.ours.chooser.pk)
    for page in ("le-chat", "privacy"):
        for choice in ("opted_out", "opted_in"):
            for more in ({}, {"confirmed": "yes", "version": "1", "reason": "Because"}, {"version": "2"}):
                yield form(f"{ours}{page}/", choice=choice, **more)
    yield form(f"{ours}members/", do="invite", email="new@ours.example", role="member")
    yield form(f"{ours}members/", do="invite", email="chooser@ours.example", role="member")
    yield form(f"{ours}members/", do="role", member=chooser, role="auditor")
    yield form(f"{ours}members/", do="remove", member=chooser)
    yield form(f"{ours}settings/", do="create", name="new", scopes="decisions:read")
    yield form(f"{ours}webhooks/", do="create", url="https://new.invalid/")
    for hook in world.ours.hooks:
        for do in ("pause", "resume", "rotate", "delete"):
            yield form(f"{ours}webhooks/", do=do, webhook=str(hook.pk))
    yield form(f"/settings/data-controls/{chooser}/", choice="opted_out")
    yield form(f"/settings/data-controls/{chooser}/", choice="opted_in", confirmed="yes", version="1")
    yield form("/settings/data-controls/opt-out/")


def _instants() -> list[str]:
    """The instants of all events, and those a microsecond before and after."""
    recorded = set(ConsentEvent.objects.values_list("recorded_at", flat=True))
    at = {instant + n * MICROSECOND for instant in recorded for n in (-1, 0, 1)}
    return [each.isoformat() for each in sorted(at)]


def questions(world: World) -> Iterator[Sent]:
    """Questions about the chooser and another member: now, as of every instant, explained, in a batch, by AuthZEN."""
    organization = str(world.ours.organization.pk)
    chooser, other = str(world.ours.chooser.pk), str(world.ours.people["member"].pk)
    instants = _instants()
    asked: list[dict[str, Any]] = [
        {"organization": organization, "member": member, "product": product, **more}
        for member in (chooser, other)
        for product in ("le_chat", "ai_studio")
        for more in ({}, *({"at": at} for at in instants), *({"collected_at": at} for at in instants))
    ]
    yield _post("/api/v1/decisions/batch/", {"items": asked})
    alone = [{"organization": organization, "product": "le_chat"}, *asked[: 1 + len(instants)]]
    for question in [*alone[:2], *alone[2::3]]:
        yield _post("/api/v1/decisions/?explain=true", question)
    evaluations = [_evaluation(each) for each in asked if "at" not in each]
    for semantic in ("execute_all", "deny_on_first_deny", "permit_on_first_permit"):
        options = {"evaluations_semantic": semantic}
        yield _post("/access/v1/evaluations", {"evaluations": evaluations, "options": options})
    yield _post("/access/v1/evaluation", evaluations[0])


def _post(path: str, body: Any) -> Sent:
    return Sent("POST", path, json.dumps(body).encode())


def _evaluation(question: dict[str, Any]) -> dict[str, Any]:
    properties = {"collected_at": question["collected_at"]} if "collected_at" in question else {}
    return {
        "subject": {"type": "member", "id": question["member"]},
        "action": {"name": "train"},
        "resource": {"type": "product", "id": question["product"], "properties": properties},
    }


def aftermath(world: World) -> list[Sent]:
    """Requests that would show a change: the events and the history."""
    organization = world.ours.organization.pk
    return [
        Sent("GET", f"/api/v1/organizations/{organization}/events/?limit=200"),
        Sent("GET", f"/o/{organization}/history/jsonl/"),
    ]


def look(callers: Callers, asked: Iterable[tuple[str, Sent]]) -> Iterator[Seen]:
    """The answer to each request, from the unchanged world, and after a change also the aftermath; rolls back."""
    for who, sent in asked:
        with transaction.atomic():
            seen = callers.call(who, sent)
            yield seen
            if who in _LOOK_AFTER and sent.method not in ("GET", "HEAD", "OPTIONS") and seen.status < 400:
                yield from (callers.call("owner", after) for after in aftermath(callers.world))
            transaction.set_rollback(True)


def sent_to(world: World) -> list[Any]:
    """What the organization's webhooks received, and its people by e-mail."""
    hooks = {hook.url for hook in world.ours.hooks}
    addresses = [member.user.email for member in world.ours.people.values()]
    mail = OutgoingMessage.objects.filter(recipient__in=addresses).order_by("pk")
    return [
        [each for each in world.receiver.got if each[0] in hooks],
        list(mail.values_list("recipient", "subject", "body", "created_at")),
    ]

"""A person or key of one organization on the URLs of another: nothing is revealed, and nothing changes (R15).

Random requests: any caller, any URL with an id of the other organization, any method, with bodies from the OpenAPI
description and the pages' forms, or with nonsense. Decisions are answered, with "unknown".
"""

import json
import logging
import random
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.http import HttpResponse

from accounts.models import ApiKey, Member, Organization
from consent.services import webhooks
from tests.consent.faces.worlds.requests import (
    EXAMPLE_MEMBER,
    EXAMPLE_ORGANIZATION,
    FORM,
    JSON,
    OF_KEYS,
    bodies,
    paths,
    some_id,
)
from tests.support.callers import World, by_key
from tests.support.factories import InvitationFactory
from tests.support.ledger_guards import everything, rows
from tests.support.permission_matrix import routes

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
REQUESTS, ON_THE_OPERATORS_SITE = 3_000, 500
SEED = 11
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
# Of these parameters the value is the other organization, or something that belongs to it.
NAMING = {"organization", "org", "member", "webhook", "invitation", "key", "object_id"}
QUESTIONS = ("/api/v1/decisions/", "/api/v1/decisions/batch/", "/access/v1/evaluation", "/access/v1/evaluations")
UNKNOWN = {"unknown_organization", "unknown_member"}
FACES = (*OF_KEYS, "o/", "settings/")
PEOPLE, KEYS = ("owner", "admin", "auditor", "member"), ("key", "narrow")


@pytest.fixture(autouse=True)
def without_limits(settings: Any) -> Iterator[None]:
    settings.KEY_RATE = 0
    logging.disable()  # of thousands of refusals
    yield
    logging.disable(logging.NOTSET)


class Other:
    """What is the other organization's, by the parameters of URLs and by the ids of the description's examples."""

    def __init__(self, world: World) -> None:
        brage = world.cast.brage
        member = Member.objects.get(organization=brage)
        hook = webhooks.create_endpoint(
            organization=brage, url="https://brage.invalid/", actor=world.cast.provider, source="admin"
        )
        by_key("decisions:read", organization=brage)
        invitation = InvitationFactory(
            organization=brage, invited_by=world.cast.outsider, expires_at=world.cast.brage.created_at
        )
        Organization.objects.filter(pk=brage.pk).update(external_id="acme")
        Member.objects.filter(pk=member.pk).update(external_id="ada")
        found = ApiKey.objects.get(organization=brage, scopes=["decisions:read"])
        self.organization, self.member, self.hook, self.key, self.invitation = brage, member, hook, found, invitation

    def values(self, chance: random.Random) -> dict[str, tuple[str, ...]]:
        """One value of each parameter: the other's, or what does not matter."""
        organization = chance.choice([str(self.organization.pk), "external:acme"])
        plain = {
            "product": ["le_chat", "ai_studio"],
            "surface": ["le_chat_console", "ai_studio_console", "le_chat_mobile"],
            "form": ["csv", "jsonl"],
            "verb": ["pause", "resume", "test", "resend", "rotate", "remove"],
            "what": ["rows"],
            "file_id": [some_id(1)],
            "content_type_id": ["1"],
            "attempt": ["1"],
            "uidb36": ["abc"],
        }
        return {
            **{name: (chance.choice(options),) for name, options in plain.items()},
            "organization": (organization,),
            "org": (str(self.organization.pk),),
            "member": (chance.choice([str(self.member.pk), "external:ada"]),),
            "webhook": (str(self.hook.pk),),
            "invitation": (str(self.invitation.pk),),
            "key": (str(self.key.pk),),
            "object_id": (chance.choice([str(self.organization.pk), str(self.member.pk), str(self.hook.pk)]),),
            "value": ("acme",),
        }


class Sending:
    """Makes requests at random, each about the other organization."""

    def __init__(self, world: World) -> None:
        self.chance, self.other, self.shown = random.Random(SEED), Other(world), bodies()  # noqa: S311  repeatable
        known = set(self.other.values(self.chance))
        self.routes = [route for route in routes() if (names := _parameters(route)) & NAMING and names <= known]
        self.routes += [path.lstrip("/") for path in QUESTIONS]

    def next(self, *prefixes: str) -> tuple[str, str, bytes, str]:
        """Below these prefixes: method, path, body and its type."""
        chance = self.chance
        route = chance.choice([route for route in self.routes if route.startswith(prefixes)])
        (path,) = paths(route, self.other.values(chance))
        method = "POST" if path in QUESTIONS else chance.choice(METHODS)
        if route.startswith(("o/", "settings/", "admin/")) and method == "POST" and chance.random() < 0.8:
            return method, path, urlencode(self._form()).encode(), FORM
        return method, path, self._body(method, route), JSON

    def _body(self, method: str, route: str) -> bytes:
        shown = self.shown.get((method, route), [])
        if not shown or ("/" + route not in QUESTIONS and self.chance.random() < 0.3):
            return json.dumps(
                self.chance.choice([{}, [], None, "x", {"choice": "opted_out"}, {"name": "Mine"}])
            ).encode()
        body = json.dumps(self.chance.choice(shown))
        replaced = {EXAMPLE_ORGANIZATION: self.other.organization.pk, EXAMPLE_MEMBER: self.other.member.pk}
        for example, theirs in replaced.items():
            body = body.replace(example, str(theirs))
        return body.encode()

    def _form(self) -> dict[str, str]:
        chance, other = self.chance, self.other
        fields = {
            "do": chance.choice(
                ["create", "invite", "role", "remove", "revoke", "withdraw", "pause", "rotate", "delete"]
            ),
            "choice": chance.choice(["opted_out", "opted_in"]),
            "email": "mine@kvasir.example",
            "role": chance.choice(["owner", "member"]),
            "member": str(other.member.pk),
            "webhook": str(other.hook.pk),
            "key": str(other.key.pk),
            "invitation": str(other.invitation.pk),
            "confirmed": "yes",
            "version": "1",
            "reason": "Because",
            "name": "Mine",
            "scopes": "decisions:read",
            "url": "https://mine.invalid/",
        }
        kept = chance.sample(sorted(fields), chance.randint(1, len(fields)))
        return {name: fields[name] for name in kept}


def _parameters(route: str) -> set[str]:
    return set(re.findall(r"<(?:\w+:)?(\w+)>", route))


@pytest.fixture
def world(world: World) -> World:
    world.callers["narrow"] = by_key("decisions:read", organization=world.cast.labs, issued_by=world.cast.admin)
    return world


def all_rows() -> list[Any]:
    """As `everything`, and the tables that it leaves out."""
    return [everything(), *(rows(f"SELECT * FROM {table} ORDER BY id") for table in _BESIDE)]


_BESIDE = ("consent_webhookendpoint", "consent_webhookattempt", "consent_bulkjob", "consent_idempotencykey")


def test_requests__of_one_organization_about_another__none_below_400_and_nothing_changed(world: World) -> None:
    sending = Sending(world)
    before, found = all_rows(), []
    for n in range(REQUESTS):
        who = (*PEOPLE, *KEYS)[n % 6]
        # On a page a key is nobody.
        method, path, body, content_type = sending.next(*(OF_KEYS if who in KEYS else FACES))
        answer = world.callers[who](method, path, body, content_type=content_type)
        if not is_refused(path, answer):
            found.append(f"{who}: {method} {path} {body!r}: {answer.status_code} {answer.content[:200]!r}")
    assert found == []
    assert all_rows() == before
    assert len(sending.routes) > 60


def test_requests__by_those_whose_it_is__many_are_answered(world: World) -> None:
    """Else the refusals above could be of requests that nobody could make."""
    sending, answered = Sending(world), 0
    for n in range(300):
        who = ("outsider", "foreign_key")[n % 2]
        method, path, body, content_type = sending.next(*(OF_KEYS if who == "foreign_key" else FACES))
        with transaction.atomic():
            answer = world.callers[who](method, path, body, content_type=content_type)
            answered += answer.status_code < 400 and is_refused(path, answer) is False
            transaction.set_rollback(True)
    assert answered > 30


def test_operators_site__asked_by_an_organizations_people__sends_them_to_its_sign_in(world: World) -> None:
    sending = Sending(world)
    before = all_rows()
    for n in range(ON_THE_OPERATORS_SITE):
        method, path, body, content_type = sending.next("admin/")
        answer = world.callers[PEOPLE[n % 4]](method, path, body, content_type=content_type)
        assert answer.status_code >= 400 or answer["Location"].startswith(("/admin/login/", "/sign-in/")), path
    assert all_rows() == before


def is_refused(path: str, answer: HttpResponse) -> bool:
    """A question is answered: unknown."""
    if path not in QUESTIONS or answer.status_code >= 400:
        return answer.status_code >= 400
    body = answer.json()
    answers = body.get("decisions") or body.get("evaluations") or [body]
    return all(
        not (each.get("allowed") or each.get("decision"))
        and (each.get("reason") or each.get("context", {}).get("reason")) in UNKNOWN
        for each in answers
    )

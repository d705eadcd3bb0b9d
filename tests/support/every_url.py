"""Every URL of the URLconf, with ids of what there is in a portal in which something waits everywhere."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.access import Actor
from consent.imports import reading
from consent.jobs import actions
from consent.jobs.selection import Selection
from consent.models import ConsentEvent
from consent.services import addresses, choices, consumers, invitations, operator_requests, removals, webhooks
from consent.surfaces import LE_CHAT_CONSOLE, Shown
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.factories import PASSWORD, UserFactory, long_standing
from tests.support.keys import issue_key
from tests.support.training import register

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")


def routes(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[str]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


ROUTES = sorted(set(routes()))


_SECRETS: dict[str, str] = {}


def make_busy() -> Cast:
    """With one of each thing that a URL could be about, each in a state in which something can be done with it."""
    made = casting.make()
    long_standing(made.operator)
    second = UserFactory(email="second@provider.example", name="Second", operator=True, old=True)
    author, owner = Actor.from_user(second, confirmed=True), Actor.from_user(made.owner, confirmed=True)
    issue_key("Sync", ["decisions:read"], organization=made.labs, issued_by=made.owner)
    webhooks.create_endpoint(organization=made.labs, url="https://hooks.example.com/", actor=owner, source="console")
    operator_requests.ask(kind="link", subject=second, actor=made.provider, reason="x")
    operator_requests.ask(kind="operator", email="new@provider.example", actor=author, reason="x")
    job = actions.preview_choice(
        surface=LE_CHAT_CONSOLE, selection=Selection(everything=True), choice="opted_in", reason="x",
        actor=author, source="admin",
    )  # fmt: skip
    actions.submit(job=job, actor=author, digest=job.digest)
    reading.upload(table="members", name="people.csv", data=[b"email\n"], actor=made.provider)
    invitations.invite(
        organization=made.labs, email=made.outsider.email, role="owner", actor=owner, source="console",
        link=lambda secret: _SECRETS.__setitem__("invitation", secret) or "a link",  # type: ignore[func-returns-value]
    )  # fmt: skip
    consumers.register(
        name="builder", purpose="x", contact="x", expected_lag_minutes=1, actor=made.provider, source="admin"
    )
    run = register(actor=author)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=made.labs, choice="opted_out", actor=owner, source="console",
        shown=Shown(LE_CHAT_CONSOLE.wording, "fr"),
    )  # fmt: skip
    addresses.ask(
        actor=Actor.from_user(made.operator, confirmed=True), email="odin@elsewhere.example",
        link=lambda secret: _SECRETS.__setitem__("address", secret) or "a link",  # type: ignore[func-returns-value]
    )  # fmt: skip
    assert removals.issue(run=run, actor=author, source="admin")
    return made


def paths(route: str, cast: Cast) -> list[str]:
    """With ids of what there is; of verbs, each."""
    model = re.match(r"admin/(accounts|consent)/(\w+)/", route)
    pk: Any = uuid.uuid4()
    if model:
        rows = apps.get_model(model[1], model[2])._base_manager.order_by("-pk")
        pk = rows.values_list("pk", flat=True).first() or pk
        if model[2] == "organization":
            pk = cast.labs.pk
    secret = _SECRETS["invitation" if route.startswith("invitations/") else "address"]
    values = {
        "object_id": str(pk), "org": str(cast.labs.pk), "organization": str(cast.labs.pk), "product": "le_chat",
        "member": str(cast.labs_member.pk), "surface": "le_chat_console", "form": "csv", "what": "rows",
        "secret": secret, "content_type_id": "1", "app_label": "accounts", "url": "nowhere", "uidb36": "1",
        "key": str(_first("accounts", "ApiKey")), "webhook": str(_first("consent", "WebhookEndpoint")),
        "job": str(_first("consent", "BulkJob")), "file_id": str(_first("consent", "ImportFile")),
        "invitation": str(_first("accounts", "Invitation")), "attempt": str(_first("consent", "WebhookAttempt")),
        "consumer": str(_first("consent", "Consumer")), "number": str(_opted_out(cast)), "event": str(_opted_out(cast)),
        "run": str(_first("consent", "TrainingRun")), "batch": str(_first("consent", "RemovalBatch")),
    }  # fmt: skip
    verbs = (
        "confirm",
        "decline",
        "approve",
        "pause",
        "cancel",
        "rotate",
        "take-over",
        "remove",
        "test",
        "resend",
        "resume",
    )
    if route.startswith(("words/", "admin/wordings/")):
        values["number"] = LE_CHAT_CONSOLE.wording.partition("/")[2]
    found = []
    for verb in verbs if "verb>" in route else [""]:
        each = {**values, "verb": verb}
        found.append("/" + _PARAMETER.sub(lambda match, each=each: each.get(match[1] or match[2], "1"), route))
    return [path.replace("\\.", ".").replace("\\", "") for path in found]


def _opted_out(cast: Cast) -> Any:
    events = ConsentEvent.objects.filter(organization=cast.labs, kind="choice.opted_out")
    return events.values_list("pk", flat=True).first()


def _first(app: str, model: str) -> Any:
    return apps.get_model(app, model)._base_manager.values_list("pk", flat=True).first()


# All that any form takes, so that a form that needs no token would do what it does.
SENT = {
    "choice": "opted_out", "confirmed": "true", "reason": "x", "reference": "y", "do": "create", "name": "x",
    "scopes": "decisions:read", "url": "https://other.example/", "email": "new@kvasir.example", "role": "owner",
    "plan": "le_chat_free", "kind": "operator", "person": "ada@kvasir.example", "password": PASSWORD,
    "action": "opt_out_le_chat", "after": "0", "oldpassword": PASSWORD, "password1": "abc def ghi jkl mno",
    "password2": "abc def ghi jkl mno", "code": "1", "language": "fr", "new_address": "x@elsewhere.example",
    "removed": "1",
}  # fmt: skip


BODY = "&".join(f"{name}={value}" for name, value in SENT.items())
FORM = "application/x-www-form-urlencoded"

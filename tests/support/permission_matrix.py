"""Role × URL × method, each with its exact status, and a world in which every URL leads to something."""

import dataclasses
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import ApiKey, Invitation
from consent import ledger
from consent.jobs import actions
from consent.jobs.selection import Selection
from consent.models import BulkJob, ConsentEvent, Consumer, RemovalBatch, TrainingRun, WebhookAttempt, WebhookEndpoint
from consent.services import choices, consumers, invitations, members, organizations, removals, webhooks
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support import snapshots
from tests.support.callers import ALL_SCOPES, World, make_world
from tests.support.factories import ActorFactory, OrganizationFactory
from tests.support.keys import issue_key
from tests.support.training import register, report, with_snapshots

# Routes that start so have to be in a table.
COVERED = ("api", "access/", ".well-known/", "metrics", "healthz", "readyz")


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


ROLES = (
    "anonymous", "owner", "admin", "auditor", "member", "outsider", "operator",
    "key", "foreign_key", "operator_key", "narrow_key",
)  # fmt: skip


KEYS = ("key", "foreign_key", "operator_key", "narrow_key")


@dataclasses.dataclass(frozen=True)
class Row:
    """The status for each of ROLES, in their order; `by_key`: fields that a key has to send in addition."""

    method: str
    route: str
    statuses: str
    body: Any = None
    by_key: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.route} {json.dumps(self.body) if self.body else ''}"


API = "api/v1/"


ORGANIZATION = f"{API}organizations/<str:organization>/"


MEMBER = f"{ORGANIZATION}members/<str:member>/"


INVITATION = f"{ORGANIZATION}invitations/<str:invitation>/"


ANYBODY = "200 200 200 200 200 200 200 200 200 200 200"


SIGNED_IN = "401 200 200 200 200 200 200 200 200 200 200"


NOWHERE = "404 404 404 404 404 404 404 404 404 404 404"


ASKERS = "401 200 200 200 403 200 200 200 200 200 403"


READERS = "401 200 200 200 403 404 200 200 404 200 403"


OPERATORS = "401 403 403 403 403 404 200 403 404 200 403"


OPERATORS_204 = OPERATORS.replace("200", "204")


MANAGERS = "401 200 200 403 403 404 200 200 404 200 403"


CHOICES_SEEN = "401 403 403 403 200 404 200 403 404 200 403"


QUESTION = {"organization": "{organization}", "product": "le_chat", "member": "{member}"}


JOB = f"{API}bulk-jobs/<str:job>/"


EVALUATION = {
    "subject": {"type": "organization", "id": "{organization}"},
    "action": {"name": "train"},
    "resource": {"type": "product", "id": "le_chat"},
}


KEY = f"{API}api-keys/<str:key>/"


NEW_KEY = {"name": "Sync", "scopes": ["decisions:read"]}


# Signed in, never by a key.
PEOPLE = "401 200 200 403 403 404 200 403 403 403 403"


HOOK = f"{API}webhooks/<str:webhook>/"


CONSUMER = f"{API}consumers/<str:consumer>/"


HOOKS = "401 200 200 403 403 404 200 200 404 200 200"


BULK = "401 403 403 403 403 403 200 403 403 200 403"


RUN = f"{API}training-runs/<str:run>/"


BULK_CHANGE = {"surface": "le_chat_console", "choice": "opted_out", "select": {"everything": True}}


POSITION = 7  # of a snapshot


# The state of a job in which each verb can be said to it.
STATES = {"approve": "awaiting_approval", "pause": "queued", "resume": "paused", "cancel": "running", "undo": "done"}


LOCK = {"reason": "Contract 7", "reference": "CRM-7"}


API_ROWS = [
    #                                               anon own adm aud mem out op  key for opk nar
    Row("GET", f"{API}products/", SIGNED_IN),
    Row("GET", f"{API}plans/", SIGNED_IN),
    Row("GET", f"{API}surfaces/", SIGNED_IN),
    Row("GET", f"{API}event-kinds/", SIGNED_IN),
    Row("GET", f"{API}organizations/", "401 200 200 200 200 200 200 200 200 200 403"),
    Row("POST", f"{API}organizations/", "401 403 403 403 403 403 201 403 403 201 403", {"name": "N", "kind": "team"}),
    Row("GET", ORGANIZATION, "401 200 200 200 200 404 200 200 404 200 403"),
    Row("PATCH", ORGANIZATION, MANAGERS, {"country": "SE"}),
    Row("PATCH", ORGANIZATION, OPERATORS, {"status": "closed", "reason": "Asked for", "country": "SE"}),
    Row("PUT", f"{ORGANIZATION}subscriptions/<str:product>/", OPERATORS, {"plan": "le_chat_teams"}),
    Row("DELETE", f"{ORGANIZATION}subscriptions/<str:product>/", OPERATORS_204),
    Row("GET", f"{ORGANIZATION}members/", READERS),
    Row(
        "POST",
        f"{ORGANIZATION}members/",
        "401 202 202 403 403 404 201 202 404 201 403",
        {"email": "new@kvasir.example", "name": "New", "role": "member"},
    ),
    Row("GET", f"{ORGANIZATION}invitations/", READERS),
    Row("GET", INVITATION, READERS),
    Row("DELETE", INVITATION, MANAGERS.replace("200", "204")),
    Row("GET", MEMBER, READERS),
    Row("PATCH", MEMBER, MANAGERS, {"role": "auditor"}),
    Row("DELETE", MEMBER, MANAGERS.replace("200", "204")),
    Row("DELETE", f"{ORGANIZATION}external-ids/<str:value>/", OPERATORS_204, {"reason": "By mistake"}),
    Row("DELETE", f"{MEMBER}external-ids/<str:value>/", OPERATORS_204, {"reason": "By mistake"}),
    Row("GET", f"{ORGANIZATION}privacy-settings/", READERS),
    Row("GET", f"{ORGANIZATION}privacy-settings/<str:surface>/", READERS),
    Row("PUT", f"{ORGANIZATION}privacy-settings/<str:surface>/", MANAGERS, {"choice": "opted_out"}),
    Row(
        "PUT",
        f"{ORGANIZATION}privacy-settings/<str:surface>/",
        MANAGERS,
        {"choice": "opted_in", "reason": "Letter"},
    ),
    Row("GET", f"{MEMBER}privacy-settings/", CHOICES_SEEN),
    Row("GET", f"{MEMBER}privacy-settings/<str:surface>/", CHOICES_SEEN),
    Row(
        "PUT",
        f"{MEMBER}privacy-settings/<str:surface>/",
        CHOICES_SEEN,
        {"choice": "opted_out"},
        by_key={"source": "ios"},
    ),
    Row(
        "PUT",
        f"{MEMBER}privacy-settings/<str:surface>/",
        "401 403 403 403 200 404 403 403 404 200 403",
        {"choice": "opted_in"},
        by_key={"source": "android"},
    ),
    Row("PUT", f"{ORGANIZATION}locks/<str:product>/", OPERATORS, LOCK),
    Row("DELETE", f"{ORGANIZATION}locks/<str:product>/", OPERATORS_204, {"reason": "Contract ended"}),
    Row("POST", f"{API}decisions/", ASKERS, QUESTION),
    Row("POST", f"{API}decisions/batch/", ASKERS, {"items": [QUESTION]}),
    Row("GET", f"{API}events/", "401 403 403 403 403 403 200 403 403 200 403"),
    Row("GET", f"{ORGANIZATION}events/", READERS),
    #                                               anon own adm aud mem out op  key for opk nar
    Row("GET", f"{API}privacy-settings/", "401 200 200 200 403 200 200 200 200 200 403"),
    # Who may look people up is told that nobody was named.
    Row("GET", f"{API}members/", OPERATORS.replace("404", "403").replace("200", "400")),
    Row("GET", f"{API}bulk-jobs/", BULK),
    Row("POST", f"{API}bulk-jobs/", BULK.replace("200", "202"), BULK_CHANGE),
    Row("GET", JOB, BULK),
    Row("GET", f"{JOB}rows/", BULK),
    Row("POST", f"{JOB}approve/", "401 403 403 403 403 403 200 403 403 403 403", {}),
    Row("POST", f"{JOB}pause/", BULK, {}),
    Row("POST", f"{JOB}resume/", BULK, {}),
    Row("POST", f"{JOB}cancel/", BULK, {}),
    Row("POST", f"{JOB}undo/", BULK.replace("200", "202"), {}),
    Row("GET", f"{API}training-runs/", BULK),
    Row("POST", f"{API}training-runs/", BULK.replace("200", "201"), {"name": "R-78", "reports": [report(1)]}),
    Row("GET", RUN, BULK),
    Row("GET", f"{RUN}manifest/", BULK),
    Row("POST", f"{RUN}retire/", BULK, {"reason": "Replaced"}),
    Row("GET", f"{RUN}removals/", BULK),
    Row("GET", f"{RUN}removal-batches/", BULK),
    Row("POST", f"{RUN}removal-batches/", BULK, {}),
    Row("POST", f"{RUN}removals/<str:batch>/acknowledge/", BULK, {"removed": 920}),
    #                                               anon own adm aud mem out op  key for opk nar
    Row("GET", f"{API}snapshots/", BULK),
    Row("GET", f"{API}snapshots/<str:position>/", BULK),
    Row("GET", f"{API}snapshots/<str:position>/files/<str:name>", BULK),
    Row("GET", f"{API}me/", SIGNED_IN),
    #                                               anon own adm aud mem out op  key for opk nar
    Row("GET", f"{API}api-keys/", "401 200 200 403 403 200 200 403 403 403 403"),
    Row("POST", f"{API}api-keys/", "401 201 201 403 403 201 201 403 403 403 403", NEW_KEY),
    Row("GET", KEY, PEOPLE),
    Row("DELETE", KEY, PEOPLE.replace("200", "204")),
    Row("POST", f"{KEY}take-over", PEOPLE, {}),
    Row("POST", f"{HOOK}take-over/", "401 200 200 403 403 404 200 403 404 403 403", {}),
    Row("GET", f"{API}webhooks/", "401 200 200 403 403 200 200 200 200 200 200"),
    Row("POST", f"{API}webhooks/", "401 201 201 403 403 201 201 201 201 201 201", {"url": "https://h.example.com/"}),
    Row("GET", HOOK, HOOKS),
    Row("PATCH", HOOK, HOOKS, {"status": "paused"}),
    Row("DELETE", HOOK, HOOKS.replace("200", "204")),
    Row("GET", f"{HOOK}attempts/", HOOKS),
    Row("POST", f"{HOOK}test/", HOOKS.replace("200", "202"), {}),
    Row("POST", f"{HOOK}attempts/<str:attempt>/resend/", HOOKS.replace("200", "202"), {}),
    Row("POST", f"{HOOK}replay/", HOOKS, {"after": 0}),
    Row("POST", f"{HOOK}rotate-secret/", HOOKS, {}),
    Row("GET", f"{ORGANIZATION}questions-asked/", READERS),
    Row("GET", f"{API}consumers/", BULK),
    Row("GET", CONSUMER, BULK),
    # Its own key alone, which is the operator key here.
    Row("PUT", f"{CONSUMER}position/", "401 403 403 403 403 403 403 403 403 200 403", {"position": 1}),
    # Without a log there are none; who gets them with one is tested where they are.
    Row("GET", f"{API}events/<str:event>/receipt/", "401 404 404 404 404 404 404 404 404 404 403"),
    Row("GET", f"{API}events/stream", "401 403 403 403 403 403 200 403 403 200 403"),
    Row("POST", "access/v1/evaluation", ASKERS, EVALUATION),
    Row("POST", "access/v1/evaluations", ASKERS, {"evaluations": [EVALUATION]}),
    Row("GET", ".well-known/authzen-configuration", ANYBODY),
    Row("GET", ".well-known/training-consent-log.json", NOWHERE),  # there is no log without a key
    Row("GET", "api/schema/", ANYBODY),
    Row("GET", "api/docs/", ANYBODY),
    Row("GET", "metrics", "200 200 200 200 200 200 200 403 403 200 200"),
    Row("GET", "healthz", ANYBODY),
    Row("GET", "readyz", ANYBODY),
    Row("GET", "api", NOWHERE),
    Row("GET", "api/", NOWHERE),
    Row("GET", "api/<path:_path>", NOWHERE),
]


TABLES = [API_ROWS]


ROWS = [row for table in TABLES for row in table]


def routes(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[str]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


def covered_routes() -> set[str]:
    return {route for route in routes() if route.startswith(COVERED)}


def make_busy_world() -> World:
    made = make_world()
    by: dict[str, Any] = {"actor": made.cast.provider, "source": "admin"}
    organizations.update_organization(organization=made.cast.labs, external_id="labs", **by)
    members.update_member(member=made.cast.labs_member, external_id="m-1", **by)
    author = ActorFactory(user__email="second@provider.example", user__name="Frigg Dahl")
    for verb, status in STATES.items():
        wish: dict[str, Any] = {"selection": Selection(everything=True), "choice": "opted_out", "reason": verb}
        job = actions.preview_choice(surface=LE_CHAT_CONSOLE, actor=author, source="admin", **wish)
        BulkJob.objects.filter(pk=job.pk).update(status=status, changed=1)
    # Nothing is there to answer a test; that it could not be sent is an answer too.
    issue_key("Waits", ["decisions:read"], organization=made.cast.labs)
    invited = {"email": "invited@kvasir.example", "role": "auditor", "actor": author, "link": str}
    invitations.invite(source="console", organization=made.cast.labs, **invited)
    hook = webhooks.create_endpoint(
        source="admin", organization=made.cast.labs, url="https://192.0.2.1.invalid/", actor=author
    )
    hook.attempts.create(position=1, at=hook.created_at, delivered=True, latency_ms=1)
    consumers.register(name="builder", purpose="x", contact="x", expected_lag_minutes=1, **by)
    Consumer.objects.update(key=ApiKey.objects.get(organization=None, name="a service", scopes=list(ALL_SCOPES)))
    used = OrganizationFactory(plan="le_chat_free", actor=author)
    run = register(actor=author)
    with_snapshots(report(1))
    choices.choose(surface=LE_CHAT_CONSOLE, organization=used, choice="opted_out", actor=author, source="admin")
    assert removals.issue(run=run, actor=author, source="admin")
    snapshots.write(Path(settings.SNAPSHOT_DIR), position=POSITION)
    ledger.sequence()  # reading a feed then writes nothing either
    return made


def job_for(route: str) -> uuid.UUID | None:
    """A job in the state that the verb at the route's end needs; any job for reading."""
    verb = route.rstrip("/").rpartition("/")[2]
    return BulkJob.objects.filter(reason=verb if verb in STATES else "undo").values_list("pk", flat=True).first()


def fill(text: str, world: World, **ids: str) -> str:
    values = {
        "organization": str(world.cast.labs.pk),
        "member": str(world.cast.labs_member.pk),
        "product": "le_chat",
        "surface": "le_chat_mobile" if "members/" in text else "le_chat_console",
        "value": "m-1" if "members/" in text else "labs",
        "_path": "v1/nowhere/",
        "position": str(POSITION),
        "event": str(ConsentEvent.objects.filter(organization=world.cast.labs).values_list("pk", flat=True).first()),
        "name": "members-000.parquet",
        "job": str(job_for(text)),
        "invitation": str(Invitation.objects.values_list("pk", flat=True).first()),
        "key": str(ApiKey.objects.filter(name="Waits").values_list("pk", flat=True).first()),
        "attempt": str(WebhookAttempt.objects.values_list("pk", flat=True).first()),
        "consumer": str(Consumer.objects.values_list("pk", flat=True).first()),
        "run": str(TrainingRun.objects.values_list("pk", flat=True).first()),
        "batch": str(RemovalBatch.objects.values_list("pk", flat=True).first()),
        "webhook": str(WebhookEndpoint.objects.values_list("pk", flat=True).first()),
        **ids,
    }
    for name, value in values.items():
        text = text.replace(f"<str:{name}>", value).replace(f"<path:{name}>", value).replace(f"{{{name}}}", value)
    return text


def call(world: World, row: Row, role: str, **ids: str) -> Any:
    body = None
    if row.body is not None:
        body = {**json.loads(fill(json.dumps(row.body), world, **ids)), **(row.by_key if role in KEYS else {})}
    return world.callers[role](row.method, "/" + fill(row.route, world, **ids), body)

"""All acts that let data be used that could not be used before, or are meant to, at each face that has them."""

from typing import Any

from accounts.access import Actor
from accounts.models import Organization, Plan
from consent.jobs import actions, engine
from consent.models import BulkJob, OperatorRequest
from consent.services import cooling_off, invitations, locks, members, operator_requests, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import AI_STUDIO_CONSOLE
from tests.support import loosening_jobs as jobs
from tests.support.acts import Act, Call, Command, Form, Ids, Service
from tests.support.callers import World
from tests.support.choices import IN, OUT, choose, choose_own
from tests.support.factories import PASSWORD
from tests.support.loosening_jobs import actor, second

LABS = "organizations/{labs}/"
DAG = f"{LABS}members/{{dag}}/"
BY = "Asked by letter"
CHOSEN = {"choice": IN, "confirmed": "true", "reason": BY}
ORGANIZATION = "admin:accounts_organization_"


def labs(world: World) -> Organization:
    return Organization.objects.get(pk=world.cast.labs.pk)


def by(world: World, source: str = "admin") -> dict[str, Any]:
    return {"organization": labs(world), "actor": world.cast.provider, "source": source}


# --- What was before --------------------------------------------------------------------------------------------------


def all_out(world: World) -> None:
    choose(world.cast, OUT, actor(world, "owner"))
    choose_own(world.cast, OUT, actor(world, "member"))


def in_by_an_operator(world: World) -> None:
    choose(world.cast, IN, world.cast.provider, source="admin", reason=BY)


def locked(world: World) -> None:
    locks.place_lock(product="le_chat", reason="Contract", reference="C-1", **by(world))


def closed(world: World) -> None:
    organizations.close_organization(reason="Asked", **by(world))


def unsubscribed(world: World) -> None:
    plans.end_subscription(product="le_chat", **by(world))


def left(world: World) -> None:
    members.remove_member(member=world.cast.labs_member, actor=world.cast.provider, source="admin")


def _invited(world: World, email: str) -> Ids:
    secrets: list[str] = []
    made = invitations.invite(
        organization=labs(world), email=email, role="member", actor=actor(world, "owner"), source="console",
        link=lambda secret: secrets.append(secret) or "a link",  # type: ignore[func-returns-value]
    )  # fmt: skip
    return {"secret": secrets[0], "invitation": str(made.pk)}


def invited(world: World) -> Ids:
    left(world)
    return _invited(world, world.cast.member.email)


def invited_a_new_person(world: World) -> Ids:
    return _invited(world, "new@kvasir.example")


def cooling(world: World) -> None:
    cooling_off.lengthen(product="le_chat", days=7, actor=actor(world, "operator"), source="admin")


def shortening_asked(world: World) -> Ids:
    cooling(world)
    asked = _ask(world, Actor.from_user(second(), confirmed=True))
    return {"request": str(asked.pk)}


def _ask(world: World, asker: Actor) -> OperatorRequest:
    wish: dict[str, Any] = {"kind": "cooling_off", "product": "le_chat", "days": 1, "reason": "Shorter"}
    return operator_requests.ask(actor=asker, source="admin", **wish)


def _confirm(world: World, ids: Ids) -> object:
    request = OperatorRequest.objects.get(pk=ids["request"])
    return operator_requests.confirm(request=request, actor=actor(world, "operator"), password_link=lambda _: "")


def _create(world: World, **more: Any) -> object:
    draft = OrganizationDraft(name="New", kind="team", **more)
    return organizations.create_organization(draft=draft, actor=world.cast.provider, source="admin")


def _join(world: World, _ids: Ids) -> object:
    return members.add_member(email=world.cast.member.email, role="member", **by(world))


def le_chat_free() -> Plan:
    return plans.get_plan("le_chat_free")


# --- The acts ---------------------------------------------------------------------------------------------------------

_OPT_IN_BY_COMMAND = Command(
    ("set_consent", "--organization={labs}", "--surface=le_chat_console", f"--choice={IN}", f"--reason={BY}", "--yes")
)
_SETTING = Call("PUT", f"{LABS}privacy-settings/le_chat_console/", {"choice": IN, "reason": BY}, "key")
_ON_PAGE = Form("console:le-chat", ("{labs}",), {**CHOSEN, "version": "{le_chat}"}, "owner")
_BY_OPERATOR = Form(f"{ORGANIZATION}setting", ("{labs}", "le_chat_console"), {**CHOSEN, "version": "{le_chat}"})

CHOICES = {
    "organization opts in": Act("choice.opted_in", {
        "service": Service(lambda world, _: choose(world.cast, IN, actor(world, "owner"))),
        "service, operator": Service(
            lambda world, _: choose(world.cast, IN, world.cast.provider, source="admin", reason=BY)
        ),
        "API": _SETTING, "console": _ON_PAGE, "admin": _BY_OPERATOR, "command": _OPT_IN_BY_COMMAND,
    }, all_out),
    "opts in where the default allows": Act("choice.opted_in", {
        "service": Service(lambda world, _: choose(world.cast, IN, actor(world, "owner"))),
        "API": _SETTING, "command": _OPT_IN_BY_COMMAND,
    }),
    "opts in where the default is out": Act("choice.opted_in", {
        "service": Service(lambda world, _: choose(
            world.cast, IN, actor(world, "owner"), surface=AI_STUDIO_CONSOLE, reason=BY
        )),
        "API": Call("PUT", f"{LABS}privacy-settings/ai_studio_console/", {"choice": IN, "reason": BY}, "key"),
        "console": Form("console:privacy", ("{labs}",), {**CHOSEN, "version": "{ai_studio}"}, "owner"),
        "admin": Form(
            f"{ORGANIZATION}setting", ("{labs}", "ai_studio_console"), {**CHOSEN, "version": "{ai_studio}"}
        ),
    }),
    "makes an operator's opt-in its own": Act("choice.confirmed", {
        "service": Service(lambda world, _: choose(world.cast, IN, actor(world, "owner"))), "API": _SETTING,
    }, in_by_an_operator),
    "member opts in": Act("choice.opted_in", {
        "service": Service(lambda world, _: choose_own(world.cast, IN, actor(world, "member"))),
        "API": Call("PUT", f"{DAG}privacy-settings/le_chat_mobile/", {"choice": IN}, "member"),
        "API, app": Call("PUT", f"{DAG}privacy-settings/le_chat_mobile/", {"choice": IN, "source": "ios"}),
        "console": Form("console:data-sharing", ("{dag}",), {**CHOSEN, "version": "{own}"}, "member"),
    }, all_out),
}  # fmt: skip
OTHERS = {
    "lock lifted": Act("lock.lifted", {
        "service": Service(lambda world, _: locks.lift_lock(product="le_chat", reason=BY, **by(world))),
        "API": Call("DELETE", f"{LABS}locks/le_chat/", {"reason": BY}),
        "admin": Form(f"{ORGANIZATION}lift", ("{labs}", "le_chat"), {"reason": BY}),
    }, locked),
    "account reopened": Act("organization.reopened", {
        "service": Service(lambda world, _: organizations.reopen_organization(reason=BY, **by(world))),
        "API": Call("PATCH", LABS, {"status": "active", "reason": BY}),
        "admin": Form(f"{ORGANIZATION}reopen", ("{labs}",), {"reason": BY}),
    }, closed),
    "subscription started": Act("subscription.started", {
        "service": Service(lambda world, _: plans.subscribe(plan=le_chat_free(), **by(world))),
        "API": Call("PUT", f"{LABS}subscriptions/le_chat/", {"plan": "le_chat_free"}),
        "admin": Form(f"{ORGANIZATION}plan", ("{labs}", "le_chat"), {"plan": "le_chat_free", "reason": BY}),
        "command": Command(("change_plan", "{labs}", "--plan=le_chat_free")),
    }, unsubscribed),
    "external id given": Act("external_id.given", {
        "service": Service(lambda world, _: organizations.update_organization(external_id="e-1", **by(world))),
        "API": Call("PATCH", LABS, {"external_id": "e-1"}),
        "admin": Form(
            f"{ORGANIZATION}change", ("{labs}",), {"name": "Kvasir Labs", "kind": "team", "external_id": "e-1"}
        ),
    }),
    "member's external id given": Act("external_id.given", {
        "API": Call("PATCH", DAG, {"external_id": "m-1"}),
        "admin": Form("admin:accounts_member_change", ("{dag}",), {"role": "member", "external_id": "m-1"}),
    }),
    "organization created with an external id": Act("organization.created", {
        "service": Service(lambda world, _: _create(world, external_id="e-1")),
        "API": Call("POST", "organizations/", {"name": "New", "kind": "team", "external_id": "e-1"}),
        "admin": Form(f"{ORGANIZATION}add", (), {"name": "New", "kind": "team", "external_id": "e-1"}),
    }),
    "organization created with a plan": Act("subscription.started", {
        "service": Service(lambda world, _: _create(world, subscriptions=[le_chat_free()])),
        "API": Call(
            "POST", "organizations/", {"name": "New", "kind": "team", "subscriptions": {"le_chat": "le_chat_free"}}
        ),
        "admin": Form(f"{ORGANIZATION}add", (), {"name": "New", "kind": "team", "plan_le_chat": "le_chat_free"}),
        "command": Command(
            ("import_organizations", "{file}", "--plan=le_chat_free"), "name,external_id\nNew,new-1\n"
        ),
    }),
    "member joins": Act("member.joined", {
        "service": Service(_join),
        "API": Call("POST", f"{LABS}members/", {"email": "dag@kvasir.example", "role": "member"}),
        "admin": Form(f"{ORGANIZATION}members", ("{labs}",), {"email": "dag@kvasir.example", "role": "member"}),
        "command": Command(("import_members", "{file}"), "organization,email\n{labs},new@kvasir.example\n"),
    }, left),
    "invitation accepted": Act("member.joined", {
        "console": Form("invitation", ("{secret}",), {}, "member"),
    }, invited),
    "invitation accepted by a new person": Act("member.joined", {
        "console": Form("invitation", ("{secret}",), {"name": "Nils Ny", "password": PASSWORD}, "anonymous"),
    }, invited_a_new_person),
    "shorter cooling-off confirmed": Act("cooling_off.changed", {
        "service": Service(_confirm),
        "admin": Form("admin:consent_operatorrequest_verb", ("{request}", "confirm")),
    }, shortening_asked),
    "shorter cooling-off asked for": Act("cooling_off.changed", {
        "service": Service(lambda world, _: _ask(world, actor(world, "operator"))),
        "admin": Form("admin:product", ("le_chat",), {"days": "1", "reason": "Shorter"}),
    }, cooling, later=True),
}  # fmt: skip


def _submit(world: World, ids: Ids) -> object:
    job = BulkJob.objects.get(pk=ids["job"])
    return actions.submit(job=job, actor=actor(world, "operator"), digest=job.digest)


def _approve(world: World, ids: Ids) -> object:
    return actions.approve(job=BulkJob.objects.get(pk=ids["job"]), actor=actor(world, "operator"))


def _run(_world: World, ids: Ids) -> object:
    return engine.run(engine.claim(BulkJob.objects.get(pk=ids["job"])))


_BY_SERVICE = {"service": Service(_submit)}
_BY_PAGE = {"admin": Form("admin:consent_bulkjob_run", ("{job}",), {"digest": "{digest}"})}
_BY_API = {"API": Call("POST", "bulk-jobs/", {"dry_run": False, "digest": "{digest}"})}
_SUBMITTED = _BY_SERVICE | _BY_PAGE | _BY_API

JOBS = {
    "opt-in of many submitted": Act("choice.opted_in", {
        **_SUBMITTED, "command": Command(("set_consent", "--digest={digest}", "--yes")),
    }, jobs.opt_in, later=True),
    "undo of an opt-out submitted": Act("choice.restored", {
        **_SUBMITTED, "command": Command(("undo_job", "{done}", "--reason=Mistake", "--yes")),
    }, jobs.undo_of_an_opt_out, later=True),
    "default of a plan raised": Act("plan.default_changed", {
        **_SUBMITTED,
        "command": Command(("set_plan_default", "le_chat_free", IN, f"--reason={BY}", "--yes")),
    }, jobs.raise_of_a_default, later=True),
    "external ids moved": Act("external_id.rebound", {
        **_SUBMITTED,
        "command": Command(
            ("rebind_external_ids", "{file}", f"--reason={BY}", "--yes"), "external_id,organization\ne-1,{brage}\n"
        ),
    }, jobs.rebinding, later=True),
    "opt-ins imported": Act("choice.opted_in", {
        **_BY_SERVICE, **_BY_PAGE,
        "command": Command(("import_choices", "{file}", f"--reason={BY}"), jobs.OPT_INS),
    }, jobs.import_of_opt_ins, later=True),
    "starts attested by an import": Act("since.attested", {
        **_BY_SERVICE, **_BY_PAGE,
        "command": Command(
            ("import_organizations", "{file}", "--plan=le_chat_free", "--map=name=name",
             "--map=external_id=external_id", "--map=since=since", f"--reason={BY}", "--reference=L-1"), jobs.STARTS,
        ),
    }, jobs.import_of_starts, later=True),
    "subscriptions imported": Act("subscription.started", {
        "command": Command(("import_subscriptions", "{file}"), "organization,plan\n{brage},ai_studio_experiment\n"),
    }),
    "job approved": Act("choice.opted_in", {
        "service": Service(_approve),
        "API": Call("POST", "bulk-jobs/{job}/approve/", {}, "operator"),
        "admin": Form("admin:consent_bulkjob_verb", ("{job}", "approve"), {"digest": "{digest}"}),
        "command": Command(("job", "approve", "{job}")),
    }, jobs.to_be_approved, later=True),
    "approved job run": Act("choice.opted_in", {
        "service": Service(_run), "command": Command(("job", "run", "{job}"), actor=""),
    }, jobs.approved),
}  # fmt: skip

LOOSENING: dict[str, Act] = CHOICES | OTHERS | JOBS

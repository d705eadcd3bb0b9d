"""The counterparts of the acts that loosen: what protects is taken in quarantine too, at each face that has it."""

from typing import Any

from consent.jobs import actions, engine
from consent.models import BulkJob, OperatorRequest
from consent.services import cooling_off, erasure, external_ids, locks, members, operator_requests, organizations, plans
from tests.support import loosening_jobs as jobs
from tests.support.acts import Act, Call, Command, Face, Form, Ids, Service
from tests.support.callers import World
from tests.support.choices import OUT, choose, choose_own
from tests.support.loosening import BY, DAG, LABS, ORGANIZATION, by, cooling, invited_a_new_person, shortening_asked
from tests.support.loosening_jobs import actor

_CHOSEN = {"choice": OUT}


def with_external_ids(world: World) -> None:
    organizations.update_organization(external_id="e-1", **by(world))
    members.update_member(member=world.cast.labs_member, external_id="m-1", actor=world.cast.provider, source="admin")


def _operate(world: World) -> dict[str, Any]:
    return {"actor": actor(world, "operator"), "source": "admin"}


def _decline(world: World, ids: Ids) -> object:
    return operator_requests.decline(
        request=OperatorRequest.objects.get(pk=ids["request"]), actor=actor(world, "operator")
    )


CHOICES = {
    "organization opts out": Act("choice.opted_out", {
        "service": Service(lambda world, _: choose(world.cast, OUT, actor(world, "owner"))),
        "API": Call("PUT", f"{LABS}privacy-settings/le_chat_console/", _CHOSEN, "key"),
        "console": Form("console:le-chat", ("{labs}",), _CHOSEN, "owner"),
        "admin": Form(f"{ORGANIZATION}setting", ("{labs}", "le_chat_console"), _CHOSEN),
        "command": Command(
            ("set_consent", "--organization={labs}", "--surface=le_chat_console", f"--choice={OUT}", "--yes")
        ),
    }),
    "organization opts out of the other product": Act("choice.opted_out", {
        "console": Form("console:privacy", ("{labs}",), _CHOSEN, "owner"),
    }),
    "member opts out": Act("choice.opted_out", {
        "service": Service(lambda world, _: choose_own(world.cast, OUT, actor(world, "member"))),
        "API": Call("PUT", f"{DAG}privacy-settings/le_chat_mobile/", _CHOSEN, "member"),
        "console": Form("console:data-sharing", ("{dag}",), _CHOSEN, "member"),
        "console, everywhere": Form("console:opt-out-everywhere", (), {}, "member"),
        "admin": Form("admin:accounts_member_opt_out", ("{dag}",)),
    }),
    "opt-outs imported": Act("choice.opted_out", {
        "command": Command(("import_choices", "{file}"), "organization,product,choice\n{labs},le_chat,opted_out\n"),
    }),
}  # fmt: skip
OTHERS = {
    "locked": Act("lock.placed", {
        "service": Service(lambda world, _: locks.place_lock(
            product="le_chat", reason="Contract", reference="C-1", **by(world)
        )),
        "API": Call("PUT", f"{LABS}locks/le_chat/", {"reason": "Contract", "reference": "C-1"}),
        "admin": Form(f"{ORGANIZATION}lock", ("{labs}", "le_chat"), {"reason": "Contract", "reference": "C-1"}),
    }),
    "account closed": Act("organization.closed", {
        "service": Service(lambda world, _: organizations.close_organization(reason=BY, **by(world))),
        "API": Call("PATCH", LABS, {"status": "closed", "reason": BY}),
        "admin": Form(f"{ORGANIZATION}close", ("{labs}",), {"reason": BY}),
    }),
    "subscription ended": Act("subscription.ended", {
        "service": Service(lambda world, _: plans.end_subscription(product="le_chat", **by(world))),
        "API": Call("DELETE", f"{LABS}subscriptions/le_chat/"),
        "admin": Form(f"{ORGANIZATION}end", ("{labs}", "le_chat"), {"reason": BY}),
        "command": Command(("change_plan", "{labs}", "--end=le_chat")),
    }),
    "moved to a plan that is out by default": Act("plan.changed", {
        "service": Service(lambda world, _: plans.subscribe(plan=plans.get_plan("le_chat_teams"), **by(world))),
        "API": Call("PUT", f"{LABS}subscriptions/le_chat/", {"plan": "le_chat_teams"}),
        "admin": Form(f"{ORGANIZATION}plan", ("{labs}", "le_chat"), {"plan": "le_chat_teams", "reason": BY}),
        "command": Command(("change_plan", "{labs}", "--plan=le_chat_teams")),
    }),
    "member leaves": Act("member.left", {
        "service": Service(lambda world, _: members.remove_member(member=world.cast.labs_member, **_operate(world))),
        "API": Call("DELETE", DAG, None, "key"),
        "console": Form("console:members", ("{labs}",), {"do": "remove", "member": "{dag}"}, "owner"),
        "admin": Form("admin:accounts_member_leave", ("{dag}",)),
    }),
    "person erased": Act("member.left", {
        "service": Service(lambda world, _: erasure.erase_person(
            person=world.cast.member, actor=actor(world, "operator")
        )),
        "command": Command(("erase_person", "dag@kvasir.example", "--yes")),
    }),
    "external id withdrawn": Act("external_id.withdrawn", {
        "service": Service(lambda world, _: external_ids.withdraw_external_id(
            external_id="e-1", reason=BY, **by(world)
        )),
        "API": Call("DELETE", f"{LABS}external-ids/e-1/", {"reason": BY}),
        "admin": Form(f"{ORGANIZATION}withdraw_id", ("{labs}",), {"external_id": "e-1", "reason": BY}),
    }, with_external_ids),
    "member's external id withdrawn": Act("external_id.withdrawn", {
        "API": Call("DELETE", f"{DAG}external-ids/m-1/", {"reason": BY}),
        "admin": Form("admin:accounts_member_withdraw_id", ("{dag}",), {"external_id": "m-1", "reason": BY}),
    }, with_external_ids),
    "invitation withdrawn": Act("access.invitation_withdrawn", {
        "API": Call("DELETE", f"{LABS}invitations/{{invitation}}/", None, "key"),
        "console": Form("console:members", ("{labs}",), {"do": "withdraw", "invitation": "{invitation}"}, "owner"),
    }, invited_a_new_person),
    "longer cooling-off": Act("cooling_off.changed", {
        "service": Service(lambda world, _: cooling_off.lengthen(product="le_chat", days=30, **_operate(world))),
        "admin": Form("admin:product", ("le_chat",), {"days": "30", "reason": "Longer"}),
    }, cooling),
    "shorter cooling-off declined": Act("access.request_declined", {
        "service": Service(_decline),
        "admin": Form("admin:consent_operatorrequest_verb", ("{request}", "decline")),
    }, shortening_asked),
}  # fmt: skip


def _submit_and_run(world: World, ids: Ids) -> object:
    job = BulkJob.objects.get(pk=ids["job"])
    return engine.run(engine.claim(actions.submit(job=job, actor=actor(world, "operator"), digest=job.digest)))


def _cancel(world: World, ids: Ids) -> object:
    return actions.cancel(job=BulkJob.objects.get(pk=ids["job"]), actor=actor(world, "operator"))


_SUBMITTED: dict[str, Face] = {
    "API": Call("POST", "bulk-jobs/", {"dry_run": False, "digest": "{digest}"}),
    "admin": Form("admin:consent_bulkjob_run", ("{job}",), {"digest": "{digest}"}),
}

JOBS = {
    "many opted out": Act("choice.opted_out", {
        "service": Service(_submit_and_run), "command": Command(("set_consent", "--digest={digest}", "--yes")),
    }, jobs.opt_out),
    "opt-out of many submitted": Act("choice.opted_out", _SUBMITTED, jobs.opt_out, later=True),
    "default of a plan lowered": Act("plan.default_changed", {
        "service": Service(_submit_and_run),
        "command": Command(("set_plan_default", "le_chat_free", OUT, f"--reason={BY}", "--yes")),
    }, jobs.fall_of_a_default),
    "lower default submitted": Act("plan.default_changed", _SUBMITTED, jobs.fall_of_a_default, later=True),
    "job that opts in stopped": Act("choice.opted_in", {
        "service": Service(_cancel),
        "API": Call("POST", "bulk-jobs/{job}/cancel/", {}),
        "admin": Form("admin:consent_bulkjob_verb", ("{job}", "cancel")),
        "command": Command(("job", "cancel", "{job}")),
    }, jobs.to_be_approved, later=True),
}  # fmt: skip

PROTECTING: dict[str, Act] = CHOICES | OTHERS | JOBS

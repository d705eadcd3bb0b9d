"""Jobs as they stand just before the step that would let something be used, in a world of the API's callers."""

from typing import Any

from accounts.access import Actor
from accounts.models import Plan, User
from consent.imports import reading
from consent.imports.fields import ImportPlan
from consent.jobs import actions, engine
from consent.jobs.rebind_files import Rebinding
from consent.jobs.selection import Selection
from consent.models import BulkJob
from consent.services import organizations, plans
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.acts import Ids
from tests.support.callers import World
from tests.support.choices import IN, OUT, choose
from tests.support.factories import UserFactory

OPT_INS = "organization,product,choice\n{brage},le_chat,opted_in\n"
STARTS = "name,external_id,since\nNew,new-1,2024-01-01T00:00:00Z\n"
SECOND = "second@provider.example"
_ALL = Selection(everything=True)


def actor(world: World, name: str) -> Actor:
    return Actor.from_user(getattr(world.cast, name), confirmed=True)


def second() -> User:
    """Another operator, who was one before everything here."""
    made: User = UserFactory(email=SECOND, name="Frigg Dahl", operator=True, old=True)
    return made


def _by(who: Actor) -> dict[str, Any]:
    return {"actor": who, "source": "admin"}


def _named(job: BulkJob, **more: str) -> Ids:
    return {"job": str(job.pk), "digest": job.digest, **more}


def _previewed(who: Actor, choice: str) -> BulkJob:
    return actions.preview_choice(
        surface=LE_CHAT_CONSOLE, selection=_ALL, choice=choice, reason="As agreed", **_by(who)
    )


def opt_in(world: World) -> Ids:
    return _named(_previewed(actor(world, "operator"), IN))


def opt_out(world: World) -> Ids:
    return _named(_previewed(actor(world, "operator"), OUT))


def undo_of_an_opt_out(world: World) -> Ids:
    choose(world.cast, IN, actor(world, "owner"))
    author = actor(world, "operator")
    done = _previewed(author, OUT)
    done = engine.run(engine.claim(actions.submit(job=done, actor=author, digest=done.digest)))
    return _named(actions.preview_undo(job=done, reason="Mistake", **_by(author)), done=str(done.pk))


def raise_of_a_default(world: World) -> Ids:
    Plan.objects.filter(pk="le_chat_free").update(training_default=OUT)
    return _default(world, IN)


def fall_of_a_default(world: World) -> Ids:
    plans.subscribe(
        organization=world.cast.labs, plan=plans.get_plan("le_chat_free"), actor=world.cast.provider, source="admin"
    )
    return _default(world, OUT)


def _default(world: World, default: str) -> Ids:
    wish: dict[str, Any] = {"plan": plans.get_plan("le_chat_free"), "default": default, "reason": "New terms"}
    return _named(actions.preview_default(**wish, **_by(actor(world, "operator"))))


def rebinding(world: World) -> Ids:
    author = actor(world, "operator")
    organizations.update_organization(organization=world.cast.labs, external_id="e-1", **_by(author))
    wishes = [Rebinding(1, "e-1", str(world.cast.brage.pk), "")]
    return _named(actions.preview_rebind(wishes=wishes, reason="Merged", **_by(author)))


def _import(world: World, table: str, text: str, *held: str) -> Ids:
    author = actor(world, "operator")
    plan = ImportPlan(table, {name: name for name in text.partition("\n")[0].split(",")}, held)
    text = text.format(brage=world.cast.brage.pk)
    file = reading.upload(table=table, name="file.csv", data=[text.encode()], actor=author)
    wish: dict[str, Any] = {"name": file.name, "reason": "As agreed", "reference": "L-1", reading.FILE: str(file.pk)}
    job = reading.prepare(plan=plan, **wish, **_by(author))
    assert reading.read_next()
    job.refresh_from_db()
    assert job.loosens
    return _named(job)


def import_of_opt_ins(world: World) -> Ids:
    return _import(world, "choices", OPT_INS)


def import_of_starts(world: World) -> Ids:
    return _import(world, "organizations", STARTS, "le_chat_free")


def to_be_approved(world: World) -> Ids:
    author = Actor.from_user(second(), confirmed=True)
    job = _previewed(author, IN)
    return _named(actions.submit(job=job, actor=author, digest=job.digest))


def approved(world: World) -> Ids:
    ids = to_be_approved(world)
    actions.approve(job=BulkJob.objects.get(pk=ids["job"]), actor=actor(world, "operator"))
    return ids

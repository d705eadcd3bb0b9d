"""`restore`: what a restored database has lost, adopting it without un-saying a no, and a witness that is lost."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.access import Actor
from accounts.catalogue import Product
from accounts.models import Member, Organization
from consent import ledger, verification
from consent.models import ConsentEvent, EventKind, EventPosition, Installation, Lock, PrivacySetting, Restore, Trouble
from consent.presentation.events import payload, serialize_event
from consent.proofs.witness_files import Witness
from consent.restore import adopting, replay
from consent.services import (
    choices,
    cooling_off,
    locks,
    members,
    organizations,
    plans,
    removal_entries,
    removals,
)
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from consent.witness import guard, keeper
from tests.support import commands
from tests.support.cast import Cast
from tests.support.commands import ACTOR, run
from tests.support.factories import OrganizationFactory
from tests.support.restoring import head, lost, witness_all
from tests.support.training import register, report

pytestmark = pytest.mark.django_db(transaction=True)
ADOPT = ("restore", "adopt", *ACTOR, "--reason", "Disk failed", "--format", "json")


def setting(organization: Organization, product: str = "le_chat", member: Member | None = None) -> PrivacySetting:
    return PrivacySetting.objects.get(organization=organization, product=product, member=member)


def out(cast: Cast) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )


def member_out(cast: Cast) -> None:
    actor = Actor.from_user(cast.member, confirmed=True)
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=cast.labs_member, choice="opted_out", actor=actor,
        source="data_controls",
    )  # fmt: skip


def locked(cast: Cast) -> None:
    locks.place_lock(
        organization=cast.labs, product="le_chat", reason="Contract", reference="C-1", actor=cast.provider,
        source="admin",
    )  # fmt: skip


def closed(cast: Cast) -> None:
    organizations.close_organization(organization=cast.labs, reason="Over", actor=cast.provider, source="admin")


def ended(cast: Cast) -> None:
    plans.end_subscription(organization=cast.labs, product="le_chat", actor=cast.provider, source="admin")


def moved_out(cast: Cast) -> None:
    plan = plans.get_plan("le_chat_teams")
    plans.subscribe(organization=cast.labs, plan=plan, actor=cast.provider, source="admin")


def left(cast: Cast) -> None:
    members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin")


def in_and_out(cast: Cast) -> None:
    out(cast)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_in", actor=cast.provider, source="admin",
        reason="Asked", version_required=False,
    )  # fmt: skip


def whole() -> None:
    """The ledger verifies, its positions have no gap, and the worker goes on from here."""
    assert keeper.keep() == "" and guard.check() == ""
    ledger.sequence()
    assert keeper.keep() == "" and guard.check() == ""
    assert verification.verify().problems == []


def test_status__nothing_lost__exits_0(watched: Cast) -> None:
    shown = run("restore", "status", "--format", "json")
    assert shown.code == 0
    assert (shown.json["lost"], shown.json["quarantine"], shown.json["restored_to"]) == (0, "", head())


def test_status__lost_opt_outs__says_which_and_exits_1_and_changes_nothing(watched: Cast) -> None:
    before = head()
    with lost():
        out(watched)
        member_out(watched)
        locked(watched)
    stored = commands.database()
    shown = run("restore", "status", "--format", "json")
    assert shown.code == 1 and "3 positions lost. Nothing was changed." in shown.err
    assert (shown.json["restored_to"], shown.json["lost_to"], shown.json["unknown"]) == (before, before + 3, 0)
    assert shown.json["kinds"] == {"choice.opted_out": 2, "lock.placed": 1}
    assert shown.json["layers"] == [
        {"level": "member", "product": "le_chat", "layers": 1},
        {"level": "organization", "product": "le_chat", "layers": 1},
    ]
    assert shown.json["would"] == {"deny": 2, "lock": 1, "opt_out": 2, "restart": 2}
    assert shown.json["quarantine"] == "head_lower"
    assert "lost positions" in run("restore", "status").out
    assert commands.database() == stored


def test_status__in_quarantine_as_well__the_same(watched: Cast) -> None:
    with lost():
        out(watched)
    outside = run("restore", "status", "--format", "json").json
    assert keeper.keep() == Trouble.HEAD_LOWER
    assert run("restore", "status", "--format", "json").json == outside


Denied = Callable[[Cast], bool]


def organization_denied(cast: Cast) -> bool:
    return not setting(cast.labs).allowed


def member_denied(cast: Cast) -> bool:
    return not setting(cast.labs, member=cast.labs_member).allowed


def has_left(cast: Cast) -> bool:
    return Member.objects.get(pk=cast.labs_member.pk).has_left


@pytest.mark.parametrize(
    ("act", "denied"),
    [
        (out, organization_denied), (member_out, member_denied), (locked, organization_denied),
        (closed, organization_denied), (ended, organization_denied), (moved_out, organization_denied),
        (left, has_left),
    ],
)  # fmt: skip
def test_adopt__lost_no__is_said_again(watched: Cast, act: Callable[[Cast], None], denied: Denied) -> None:
    assert setting(watched.labs).allowed
    before = head()
    with lost():
        act(watched)
    assert setting(watched.labs).allowed and not Member.objects.get(pk=watched.labs_member.pk).has_left
    done = run(*ADOPT)
    assert done.code == 0, done.err
    assert denied(watched)
    lost_to = done.json["lost_to"]
    assert (done.json["restored_to"], done.json["epoch"]) == (before, 2) and lost_to > before
    whole()
    # Each lost position has its own event, and new ones follow.
    placeholders = ConsentEvent.objects.filter(kind=EventKind.POSITION_LOST).order_by("placed__position")
    assert list(placeholders.values_list("placed__position", flat=True)) == list(range(before + 1, lost_to + 1))
    assert {each.organization_id for each in placeholders} == {None}
    assert head() > lost_to
    assert EventPosition.objects.get(position=lost_to + 1).epoch == 2
    again = ConsentEvent.objects.filter(placed__position__gt=lost_to).exclude(reason="Disk failed")
    assert {each.reason[:9] for each in again if each.product and not each.member_id} <= {"restored "}


def test_adopt__both_opted_out_and_locked__both_again(watched: Cast) -> None:
    with lost():
        locked(watched)
        out(watched)
    assert run(*ADOPT).json["done"] == {"lock": 1, "opt_out": 1}
    found = setting(watched.labs)
    assert (found.locked, found.choice) == (True, "opted_out")
    assert Lock.objects.get(lifted_at=None).reason.startswith("restored ")
    whole()


def test_adopt__no_and_yes_lost__stays_allowed_but_begins_anew(watched: Cast) -> None:
    since = setting(watched.labs).since
    with lost():
        in_and_out(watched)
    assert run(*ADOPT).json["done"] == {"restart": 1}
    found = setting(watched.labs)
    assert found.allowed and found.since is not None and since is not None and found.since > since
    assert found.since == Restore.objects.get().adopted_at or found.since > Restore.objects.get().adopted_at
    whole()


def test_adopt__yes_lost__stays_denied_and_is_listed(watched: Cast) -> None:
    out(watched)
    witness_all()
    with lost():
        in_and_out(watched)
    done = run(*ADOPT).json
    assert not setting(watched.labs).allowed
    assert done["loosened"] == [{"organization": str(watched.labs.pk), "member": "", "product": "le_chat"}]
    # Told once more, so that whoever has read of the lost yes reads that it is a no.
    event = ConsentEvent.objects.get(kind=EventKind.SINCE_RESTARTED)
    assert (event.organization_id, event.allowed) == (watched.labs.pk, False)
    whole()


def test_adopt__layers_that_nothing_is_lost_of__are_as_they_were(watched: Cast) -> None:
    before = {each.pk: (each.allowed, each.since, each.version) for each in PrivacySetting.objects.all()}
    with lost():
        out(watched)
    assert run(*ADOPT).code == 0
    touched = setting(watched.labs).pk
    after = {each.pk: (each.allowed, each.since, each.version) for each in PrivacySetting.objects.all()}
    assert {pk for pk, values in after.items() if before.get(pk) != values} == {touched}


def test_adopt__twice__second_has_nothing_to_do(watched: Cast) -> None:
    with lost():
        out(watched)
    assert run(*ADOPT).code == 0
    whole()
    stored = commands.database()
    again = run(*ADOPT)
    assert again.code == 1 and "Nothing is lost" in again.err
    assert commands.database() == stored


def test_adopt__restored_again_later__third_epoch(watched: Cast) -> None:
    with lost():
        out(watched)
    assert run(*ADOPT).code == 0
    whole()
    with lost():
        locked(watched)
    assert run(*ADOPT).json["epoch"] == 3
    assert setting(watched.labs).locked
    whole()


def test_adopt__database_of_before_the_first_adoption__epoch_after_all(watched: Cast) -> None:
    """The older backup is restored once more: what was said again after the first time is lost too."""
    with lost():
        out(watched)
    with lost():
        assert run(*ADOPT).code == 0
        ledger.sequence()
        member_out(watched)
    done = run(*ADOPT)
    assert (done.code, done.json["epoch"]) == (0, 3)
    assert organization_denied(watched) and member_denied(watched)
    whole()


def test_adopt__fails_in_the_middle__all_is_undone(watched: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    with lost():
        out(watched)
    stored, lines = commands.database(), Path(_path()).read_bytes()

    def fail(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(adopting.Applier, "apply", fail)
        assert run(*ADOPT).code == 130
    assert commands.database() == stored and Path(_path()).read_bytes() == lines
    assert run(*ADOPT).code == 0
    assert organization_denied(watched)
    whole()


def test_adopt__killed_before_the_witness_has_its_line__the_same_command_writes_it(
    watched: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lost():
        out(watched)

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(adopting, "_write_line", killed)
        assert run(*ADOPT).code == 130
    assert keeper.keep() == Trouble.OTHER_EPOCH
    assert run("restore", "status", "--format", "json").json["unfinished"] is True
    events = ConsentEvent.objects.count()
    assert run(*ADOPT).code == 0
    assert ConsentEvent.objects.count() == events
    assert organization_denied(watched)
    whole()


def test_adopt__opt_out_during_quarantine__told_again_with_a_new_number(watched: Cast) -> None:
    """Its number may be that of a lost event, which receivers know already."""
    with lost():
        locked(watched)
    assert keeper.keep() == Trouble.HEAD_LOWER
    out(watched)
    pending = ConsentEvent.objects.order_by("-pk")[0]
    assert run(*ADOPT).code == 0
    later = ConsentEvent.objects.filter(organization=watched.labs, product="le_chat", pk__gt=pending.pk)
    assert later.exists() and not any(each.allowed for each in later)
    assert min(each.pk for each in later) > pending.pk + 1_000_000
    whole()


def test_adopt__organization_that_is_lost_itself__is_named(watched: Cast) -> None:
    with lost():
        made = OrganizationFactory(plan="le_chat_free", actor=watched.provider)
        ident = str(made.pk)
    done = run(*ADOPT)
    assert done.json["not_here"] == [ident]
    whole()


def test_adopt__external_id_meant_another_at_the_end__organization_is_locked(watched: Cast) -> None:
    organizations.update_organization(
        organization=watched.labs, external_id="labs", actor=watched.provider, source="admin"
    )
    witness_all()
    with lost():
        organizations.update_organization(
            organization=watched.labs, external_id=None, actor=watched.provider, source="admin"
        )
    assert run(*ADOPT).code == 0
    assert all(each.locked for each in PrivacySetting.objects.filter(organization=watched.labs, member=None))
    whole()


def test_adopt__what_nobody_can_do_again__is_named(watched: Cast) -> None:
    with lost():
        cooling_off.lengthen(product="le_chat", days=7, actor=watched.provider, source="admin")
    done = run(*ADOPT)
    assert done.json["by_hand"] == {"cooling_off.changed": 1}
    assert "Look after these by hand" in done.err and "cooling_off.changed (1)" in done.err


def test_adopt__positions_of_its_own_since__keep_their_events(watched: Cast) -> None:
    """Nobody noticed at once: the restored database has given positions again."""
    before = head()
    with lost():
        out(watched)
        member_out(watched)
    organizations.update_organization(organization=watched.labs, name="Other", actor=watched.provider, source="admin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "quarantined", lambda: False)
        ledger.sequence()
    shown = run("restore", "status", "--format", "json").json
    assert (shown["restored_to"], shown["differing"]) == (before, 1)
    assert run(*ADOPT).code == 0
    assert organization_denied(watched) and member_denied(watched)
    whole()


@pytest.mark.parametrize("argv", [(), ("--reason", "x"), (*ACTOR,), (*ACTOR, "--reason", "x", "--tail-unknown")])
def test_adopt__arguments_missing__exits_2(watched: Cast, argv: tuple[str, ...]) -> None:
    with lost():
        out(watched)
    stored = commands.database()
    assert run("restore", "adopt", *argv).code == 2
    assert commands.database() == stored


def test_adopt__no_operator_or_no_reason__refused(watched: Cast) -> None:
    with lost():
        out(watched)
    stored = commands.database()
    assert run("restore", "adopt", "--actor", watched.owner.email, "--reason", "x").code == 2
    assert run("restore", "adopt", *ACTOR, "--reason", " ").code == 1
    assert commands.database() == stored


def test_adopt__witness_of_another_installation__refused(watched: Cast) -> None:
    sql = "UPDATE consent_installation SET id = %s"
    with connection.cursor() as cursor:
        cursor.execute(sql, ["0" * 32])
    for argv in (("restore", "status"), ADOPT):
        done = run(*argv)
        assert done.code == 1 and "of another installation" in done.err


# --- Without a witness ------------------------------------------------------------------------------------------------


def _path() -> str:
    files = adopting.files()
    return str(files.paths[0])


def test_adopt__witness_lost__needs_a_word_and_then_everybody_is_out(watched: Cast) -> None:
    with lost():
        out(watched)
    Path(_path()).unlink()
    assert keeper.keep() == Trouble.WITNESS_LOST
    stored = commands.database()
    assert run(*ADOPT).code == 1
    assert commands.database() == stored
    before = head()
    done = run(*ADOPT, "--tail-unknown", "--lost-to", str(before + 4))
    assert done.code == 0, done.err
    assert not PrivacySetting.objects.filter(allowed=True).exists()
    everybody = Member.objects.count()
    assert PrivacySetting.objects.of_members().filter(choice="opted_out").count() == everybody
    assert Restore.objects.get().lost_to == before + 4
    whole()
    # The customer's own word lifts it.
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=watched.labs, choice="opted_in", version_required=False,
        actor=Actor.from_user(watched.owner, confirmed=True), source="console", reason="Ours",
    )  # fmt: skip
    assert setting(watched.labs).allowed


def test_adopt__witness_lost__who_is_kept_out_by_something_else_is_opted_out_too(watched: Cast) -> None:
    """A lock may be lifted, a plan that allows by default may come: what was said meanwhile is lost all the same."""
    by: dict[str, Any] = {"organization": watched.labs, "actor": watched.provider, "source": "admin"}
    locks.place_lock(**by, product="le_chat", reason="Contract", reference="C-1")
    witness_all()
    with lost():
        out(watched)
    Path(_path()).unlink()
    assert keeper.keep() == Trouble.WITNESS_LOST
    assert run(*ADOPT, "--tail-unknown", "--lost-to", str(head() + 4)).code == 0
    whole()
    locks.lift_lock(**by, product="le_chat", reason="Over")
    assert not setting(watched.labs).allowed
    layers_of = PrivacySetting.objects.of_organizations().filter(choice="opted_out")
    assert layers_of.count() == Organization.objects.count() * len(Product)


def test_adopt__events_that_the_witness_had_only_counted__are_told(watched: Cast) -> None:
    files = Witness((Path(_path()),))
    line = files.last()
    assert line is not None
    with files.held() as held:
        more = dataclasses.replace(line, after=line.position, previous=line.hash, changes=(), events=line.events + 2)
        Path(_path()).write_text(more.text() + "\n")
        del held
    guard.forget(connection=connection)
    told = run("restore", "status", "--format", "json")
    assert (told.code, json.loads(told.out)["counted"]) == (1, 2)
    done = run(*ADOPT, "--format", "json")
    assert (done.code, done.json["counted"], done.json["lost"]) == (0, 2, 0), done.err
    assert "lost before they had one" not in run("restore", "status").out


def test_quarantine__that_lasts__is_not_replaced_by_one_that_passes(watched: Cast) -> None:
    with lost():
        out(watched)
    assert keeper.keep() == Trouble.HEAD_LOWER
    path = Path(_path())
    aside = path.rename(path.with_name("aside"))
    assert keeper.keep() == Trouble.HEAD_LOWER
    refused = run("restore", "witness", "--rebuild", *ACTOR, "--reason", "Disk of the witness failed")
    assert refused.code == 1
    aside.rename(path)
    assert keeper.keep() == Trouble.HEAD_LOWER


def test_adopt__tail_unknown_though_there_is_a_witness__refused(watched: Cast) -> None:
    with lost():
        out(watched)
    stored = commands.database()
    done = run(*ADOPT, "--tail-unknown", "--lost-to", "99")
    assert done.code == 1 and "There is a witness" in done.err
    assert commands.database() == stored


def test_witness__lost_of_a_whole_database__begins_anew(watched: Cast) -> None:
    Path(_path()).unlink()
    assert keeper.keep() == Trouble.WITNESS_LOST
    done = run("restore", "witness", "--rebuild", *ACTOR, "--reason", "Disk of the witness failed", "--format", "json")
    assert (done.code, done.json) == (0, {"rebuilt": True, "moved": []})
    event = ConsentEvent.objects.get(kind=EventKind.RESTORE_WITNESS_REBUILT)
    assert (event.target, event.reason) == ("1", "Disk of the witness failed")
    whole()
    line = Witness((Path(_path()),)).last()
    assert line is not None and line.position == head()


def test_witness__damaged__is_moved_aside(watched: Cast) -> None:
    path = Path(_path())
    path.write_text("what is this\nand this\n")
    assert keeper.keep() == Trouble.WITNESS_DAMAGED
    done = run("restore", "witness", "--rebuild", *ACTOR, "--reason", "Damaged", "--format", "json")
    assert done.code == 0 and len(done.json["moved"]) == 1
    assert Path(done.json["moved"][0]).read_text().startswith("what is this")
    whole()


def test_witness__can_be_read__refused(watched: Cast) -> None:
    with lost():
        out(watched)
    assert keeper.keep() == Trouble.HEAD_LOWER
    stored = commands.database()
    done = run("restore", "witness", "--rebuild", *ACTOR, "--reason", "x")
    assert done.code == 1 and "it is not lost" in done.err
    assert commands.database() == stored
    assert Installation.objects.current().quarantine == Trouble.HEAD_LOWER


# --- Copies -----------------------------------------------------------------------------------------------------------


def feed(tmp_path: Path, form: str, events: list[dict[str, Any]]) -> str:
    path = tmp_path / f"copy.{form}"
    match form:
        case "jsonl":
            path.write_text("".join(json.dumps(each) + "\n" for each in events))
        case "page":
            path.write_text(json.dumps({"results": events, "next": None}, indent=2))
        case "webhooks":
            path.write_text("".join(json.dumps(payload(each)) + "\n" for each in events))
    return str(path)


def told(after: int) -> list[dict[str, Any]]:
    rows = ConsentEvent.objects.placed().filter(placed__position__gt=after)
    return [serialize_event(each, "", for_operator=True) for each in rows]


@pytest.mark.parametrize("form", ["jsonl", "page", "webhooks"])
def test_adopt__witness_lost_but_a_feed_there__said_again(watched: Cast, tmp_path: Path, form: str) -> None:
    before, events = head(), []
    with lost():
        locked(watched)
        member_out(watched)
        ledger.sequence()
        events = told(before)
    Path(_path()).unlink()
    keeper.keep()
    done = run(*ADOPT, "--replay", feed(tmp_path, form, events))
    assert done.code == 0, done.err
    assert (done.json["lost"], done.json["complete"]) == (len(events), False)
    assert organization_denied(watched) and member_denied(watched)
    assert Lock.objects.get(lifted_at=None).reason == "Contract"
    whole()


def test_adopt__export_of_the_lost_database__complete_so_that_nothing_begins_anew(
    watched: Cast, tmp_path: Path
) -> None:
    copy = tmp_path / "old.jsonl"
    since = setting(watched.labs).since
    plan = plans.get_plan("le_chat_free")
    with lost(copy):
        plans.subscribe(organization=watched.labs, plan=plan, actor=watched.provider, source="admin")
        member_out(watched)
    done = run(*ADOPT, "--replay", str(copy))
    assert done.code == 0, done.err
    assert done.json["complete"] is True
    assert setting(watched.labs).since == since
    assert member_denied(watched)
    whole()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("nothing\n", "neither JSON nor JSON Lines"),
        ('{"kind": "choice.opted_out"}\n', "is missing"),
        ('{"position": "1", "kind": "choice.opted_out"}\n', "its position is no number"),
        ('{"position": 1, "kind": "choice.eaten"}\n', "is no event of the ledger"),
        ('{"kind": "test"}\nnothing\n', "line 2: is not JSON"),
    ],
)
def test_adopt__copy_is_none__refused_and_named(watched: Cast, tmp_path: Path, content: str, problem: str) -> None:
    with lost():
        out(watched)
    path = tmp_path / "copy.jsonl"
    path.write_text(content)
    stored = commands.database()
    done = run(*ADOPT, "--replay", str(path))
    assert done.code == 1 and problem in done.err and str(path) in done.err
    assert commands.database() == stored


def test_read__two_copies_that_contradict__refused(watched: Cast, tmp_path: Path) -> None:
    with lost():
        out(watched)
        ledger.sequence()
        [*_others, event] = told(0)
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text(json.dumps(event))
    other.write_text(json.dumps(event | {"allowed": True}))
    with pytest.raises(replay.BadFile, match="otherwise than another file"):
        replay.read([str(one), str(other)], 0)


# --- Training runs ----------------------------------------------------------------------------------------------------


def test_removal__run_filtered_at_a_lost_position__names_every_key(watched: Cast) -> None:
    """What its filter knew is lost, so nobody can say which records it let through."""
    with lost():
        in_and_out(watched)
        ledger.sequence()
        position = head()
    assert run(*ADOPT).code == 0
    whole()
    by: dict[str, Any] = {"actor": watched.provider, "source": "api"}
    made = register(report(position), actor=watched.provider)
    of_today = register(report(name="part-001"), actor=watched.provider)
    batch = removals.issue(run=made, **by)
    assert batch is not None and removals.issue(run=of_today, **by) is None
    entries = list(removal_entries.entries_of(removals.range_of(made, batch)))
    keys = {(each.organization, each.member, each.product) for each in entries}
    assert {(watched.brage.pk, None, "le_chat"), (watched.labs.pk, None, "ai_studio")} <= keys
    assert {pk for _organization, pk, _product in keys if pk} == set(Member.objects.values_list("pk", flat=True))
    assert verification.verify().problems == []
    # What comes later is said once, as of any other run.
    out(watched)
    later = removals.issue(run=made, **by)
    assert later is not None and later.entries == 1

"""Conditional requests: 304 for an unchanged answer, If-Match for writes; and rate-limit headers for keys."""

import gzip
from typing import Any

import pytest
from django.http import HttpResponse

from accounts import limits
from config import compression
from consent.models import PrivacySetting, WebhookEndpoint
from consent.services import locks, webhooks
from tests.support.callers import Caller, World, assert_problem
from tests.support.ledger_guards import everything
from tests.support.permission_matrix import ROLES, ROWS, Row, fill, make_busy_world
from tests.support.recordings import Recorded

pytestmark = pytest.mark.django_db

READS = [
    row
    for row in ROWS
    if row.method == "GET"
    and row.route.startswith("api/v1/")
    and "stream" not in row.route
    and "files/" not in row.route
    and "200" in row.statuses
]
ONES = {
    "organization": ("{labs}", {"name": "Kvasir"}),
    "member": ("{dag}", {"role": "auditor"}),
    "webhook": ("webhooks/{webhook}/", {"description": "To the warehouse"}),
}


@pytest.fixture
def world(db: None, recorded: Recorded[World]) -> World:
    return recorded(make_busy_world).load()


def reader(row: Row) -> str:
    found = dict(zip(ROLES, map(int, row.statuses.split()), strict=True))
    return next(role for role in ("operator_key", "key", "operator", "owner") if found[role] == 200)


# --- 304 --------------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("row", READS, ids=str)
def test_get__by_the_tag_of_what_is_shown__304_without_a_body(row: Row, world: World) -> None:
    caller, path = world.callers[reader(row)], "/" + fill(row.route, world)
    first = caller.get(path)
    tag = first["ETag"]
    assert tag.startswith('"') and first["Cache-Control"] == "no-store"
    for named in (tag, f"W/{tag}", "*", f'"another", W/"third" , {tag}'):
        again = caller.get(path, if_none_match=named)
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag), named
        assert (again["Cache-Control"], again["Vary"]) == (first["Cache-Control"], first["Vary"])
    for named in ('"another"', tag.strip('"'), ""):
        assert caller.get(path, if_none_match=named).content == first.content, named
    head = caller("HEAD", path)
    assert (head.status_code, head["ETag"]) == (200, tag)
    assert caller("HEAD", path, if_none_match=tag).status_code == 304
    assert_problem(caller.get(path, if_match='"another"'), 412, "precondition_failed")


def test_get__another_is_shown_more__has_another_tag(world: World) -> None:
    """Made of the asker's view: who sees less can't tell by the tag that there is more."""
    path = f"{world.labs}privacy-settings/le_chat_console/"
    tags = {role: world.callers[role].get(path)["ETag"] for role in ("auditor", "key", "operator")}
    assert tags["auditor"] == tags["key"] != tags["operator"]


def test_setting__locked__is_not_the_one_that_was_there(world: World) -> None:
    """A member's layer has not changed, and what comes of it has: no 304."""
    path = f"{world.dag}privacy-settings/le_chat_mobile/"
    tag = world.member.get(path)["ETag"]
    assert world.member.get(path, if_none_match=tag).status_code == 304
    locks.place_lock(organization=world.cast.labs, product="le_chat", reason="x", reference="y",
                     actor=world.cast.provider, source="admin")  # fmt: skip
    after = world.member.get(path, if_none_match=tag)
    assert (after.status_code, after.json()["locked"], after["ETag"].partition("-")[0]) == (200, True, '"0')


def test_setting__in_another_language__is_another_answer(world: World) -> None:
    path = f"{world.labs}privacy-settings/le_chat_console/"
    tag = world.key.get(path, accept_language="en")["ETag"]
    assert world.key.get(path, accept_language="fr", if_none_match=tag).status_code == 200


# --- If-Match ---------------------------------------------------------------------------------------------------------


def one(what: str, world: World) -> tuple[Caller, str, dict[str, Any]]:
    path, change = ONES[what]
    hook = WebhookEndpoint.objects.get()
    return world.operator_key, path.format(labs=world.labs, dag=world.dag, webhook=hook.pk), change


@pytest.mark.parametrize("what", ONES)
@pytest.mark.parametrize("stale", ['"another"', "W/{tag}", '"a", "b"', "{bare}", " ", '""'])
def test_patch__names_what_is_no_longer_there__412_and_nothing_changes(stale: str, what: str, world: World) -> None:
    caller, path, change = one(what, world)
    tag = caller.get(path)["ETag"]
    before = everything()
    answer = caller("PATCH", path, change, if_match=stale.format(tag=tag, bare=tag.strip('"')))
    assert_problem(answer, 412, "version_mismatch")
    assert everything() == before


@pytest.mark.parametrize("what", ONES)
def test_patch__names_what_is_there__done_and_then_stale(what: str, world: World) -> None:
    caller, path, change = one(what, world)
    tag = caller.get(path)["ETag"]
    changed = caller("PATCH", path, change, if_match=f'"a", {tag}')
    assert changed.status_code == 200
    assert changed["ETag"] == caller.get(path)["ETag"] != tag
    assert_problem(caller("PATCH", path, change, if_match=tag), 412, "version_mismatch")
    assert caller("PATCH", path, change, if_match="*").status_code == 200
    if what != "organization":
        assert_problem(caller("DELETE", path, if_match=tag), 412, "version_mismatch")
        assert caller("DELETE", path, if_match=changed["ETag"]).status_code == 204


def test_patch__another_role_changed_it_meanwhile__412(world: World) -> None:
    tag = world.admin.get(world.labs)["ETag"]
    world.operator_key.put(f"{world.labs}subscriptions/le_chat/", {"plan": "le_chat_teams"})
    assert_problem(world.admin("PATCH", world.labs, {"name": "K"}, if_match=tag), 412, "version_mismatch")


def test_patch__closes__never_waits_for_a_version(world: World) -> None:
    closing, opening = {"status": "closed", "reason": "Asked for"}, {"status": "active", "reason": "Asked for"}
    both = {**closing, "country": "SE"}
    assert_problem(world.operator_key("PATCH", world.labs, both, if_match='"old"'), 412, "version_mismatch")
    assert world.operator_key("PATCH", world.labs, closing, if_match='"old"').json()["status"] == "closed"
    assert_problem(world.operator_key("PATCH", world.labs, opening, if_match='"old"'), 412, "version_mismatch")
    assert PrivacySetting.objects.filter(organization=world.cast.labs, closed=False).count() == 0


def test_webhook__that_has_moved_on__is_shown_anew_and_can_still_be_changed(world: World) -> None:
    caller, path, change = one("webhook", world)
    tag = caller.get(path)["ETag"]
    webhooks.replay(endpoint=WebhookEndpoint.objects.get(), after=0, actor=world.cast.provider, source="admin")
    assert caller.get(path, if_none_match=tag).status_code == 200
    assert caller("PATCH", path, change, if_match=tag).status_code == 200


# --- How much is left -------------------------------------------------------------------------------------------------


def quota(answer: HttpResponse) -> tuple[str, str]:
    return answer["RateLimit-Policy"], answer["RateLimit"]


def test_key__with_a_limit__is_told_what_is_left_of_it(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KEY_RATE = 2
    limits._buckets.clear()
    monkeypatch.setattr(limits.time, "monotonic", lambda: 5.0)
    monkeypatch.setattr(limits.time, "time", lambda: 1_800_000_000.0)
    question = {"organization": "x", "product": "le_chat"}
    assert quota(world.key.get(world.labs)) == ('"read";q=2;w=1', '"read";r=1;t=1')
    assert quota(world.key.post("decisions/", question)) == ('"read";q=2;w=1', '"read";r=0;t=1')
    for spent in (world.key.get(world.labs), world.key.post("decisions/", question)):
        assert_problem(spent, 429, "throttled")
        assert (*quota(spent), spent["Retry-After"]) == ('"read";q=2;w=1', '"read";r=0;t=1', "1")
    bad = world.key.patch(world.labs, {})
    assert (bad.status_code, *quota(bad)) == (400, '"write";q=2;w=1', '"write";r=1;t=1')
    assert quota(world.key.patch(world.labs, {"country": "SE"})) == ('"write";q=2;w=1', '"write";r=0;t=1')
    spent = world.key.patch(world.labs, {"country": "DK"})
    assert (spent.status_code, *quota(spent)) == (429, '"write";q=2;w=1', '"write";r=0;t=1')


def test_no_limit__nothing_is_said_of_one(world: World) -> None:
    for answer in (world.operator_key.get(world.labs), world.owner.get(world.labs)):
        assert "RateLimit" not in answer and "RateLimit-Policy" not in answer


# --- Packed -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def unpadded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short an answer is; else that is not worth it, with the random bytes that are added."""
    monkeypatch.setattr(compression, "LEAST", 200)
    monkeypatch.setattr(compression.KeyedGZipMiddleware, "max_random_bytes", 0)


@pytest.mark.usefixtures("unpadded")
@pytest.mark.parametrize("path", ["plans/", "events/", "nowhere/x/"])
def test_key__that_takes_gzip__gets_json_packed(path: str, world: World) -> None:
    plain = world.operator_key.get(path)
    packed = world.operator_key.get(path, accept_encoding="br, gzip;q=0.5")
    assert packed["Content-Encoding"] == "gzip" and "Accept-Encoding" in packed["Vary"]
    assert int(packed["Content-Length"]) == len(packed.content)
    if plain.status_code == 200:
        assert gzip.decompress(packed.content) == plain.content
        assert len(packed.content) < len(plain.content)


def test_key__asks_one_question__a_short_answer_is_not_packed(world: World) -> None:
    question = {"organization": str(world.cast.labs.pk), "product": "ai_studio"}
    answer = world.operator_key.post("decisions/", question, accept_encoding="gzip")
    assert answer.status_code == 200 and "Content-Encoding" not in answer


def test_key__many_questions__answers_packed_too(world: World) -> None:
    body = {"items": [{"organization": str(world.cast.labs.pk), "product": "le_chat"}] * 50}
    answer = world.operator_key.post("decisions/batch/", body, accept_encoding="gzip")
    assert answer["Content-Encoding"] == "gzip" and gzip.decompress(answer.content).startswith(b'{"decisions"')


@pytest.mark.usefixtures("unpadded")
@pytest.mark.parametrize("header", ["", "identity", "gzip;q=0", "gzip; q=0.0, br", "deflate", "notgzip", "*;q=0"])
def test_key__that_takes_no_gzip__gets_none(header: str, world: World) -> None:
    assert "Content-Encoding" not in world.operator_key.get("plans/", accept_encoding=header)


@pytest.mark.usefixtures("unpadded")
def test_session__never_packed__whatever_it_takes(world: World) -> None:
    """A foreign page can have these asked for, cookie included; and by a proxy's password, Authorization too."""
    assert "Content-Encoding" not in world.owner.get("plans/", accept_encoding="gzip")
    page = world.owner.get("/organizations/", accept_encoding="gzip")
    assert page.status_code in (200, 302) and "Content-Encoding" not in page
    basic = world.owner.get("plans/", accept_encoding="gzip", authorization="Basic eDp5")
    assert "Content-Encoding" not in basic
    bearer = world.owner.get("/account/", accept_encoding="gzip", authorization="Bearer x")
    assert "Content-Encoding" not in bearer


@pytest.mark.usefixtures("unpadded")
def test_tag__of_what_was_packed__is_a_strong_one_that_serves_for_both(world: World) -> None:
    packed = world.operator_key.get(world.labs, accept_encoding="gzip")
    tag = packed["ETag"]
    assert tag.startswith('"') and tag != world.operator_key.get(world.labs)["ETag"]
    again = world.operator_key.get(world.labs, accept_encoding="gzip", if_none_match=tag)
    assert (again.status_code, again["ETag"], again.content) == (304, tag, b"")
    assert world.operator_key("PATCH", world.labs, {"name": "K"}, if_match=tag).status_code == 200
    path = f"{world.labs}privacy-settings/le_chat_console/"
    world.operator_key.put(path, {"choice": "opted_out"})
    tag = world.operator_key.get(path, accept_encoding="gzip")["ETag"]
    assert tag.endswith('-gzip"')
    assert world.operator_key.put(path, {"choice": "opted_in", "reason": "x"}, if_match=tag).status_code == 200

"""The organization's keys, downloads of its history and of a person's own choices, and reauthentication."""

import csv
import datetime as dt
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.access import Actor
from accounts.models import ApiKey
from consent.console.forms import HistoryFilter
from consent.jobs import actions
from consent.jobs.selection import Selection
from consent.models import ConsentEvent
from consent.services import choices
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE
from tests.support.asking import confirm
from tests.support.cast import Cast
from tests.support.console import choice_of, events, opt_in, opted_out_by_owner, signed_in, url
from tests.support.factories import PASSWORD, UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing

pytestmark = pytest.mark.django_db


# --- Keys -----------------------------------------------------------------------------------------------------------


def test_key__made__shown_once_and_good_for_this_organization_alone(cast: Cast) -> None:
    client, page = signed_in(cast, "admin"), url(cast, "settings")
    sent = {"do": "create", "name": "sync", "scopes": ["consent:read", "events:read"]}
    made = client.post(page, sent, follow=True)
    key = ApiKey.objects.get()
    text = made.content.decode().split('id="new-secret"')[1].split('value="')[1].split('"')[0]
    assert (key.organization, key.issued_by, key.scopes) == (cast.labs, cast.admin, ["consent:read", "events:read"])
    assert text not in client.get(page).content.decode() and key.prefix in client.get(page).content.decode()
    caller = Client(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert caller.get(f"/api/v1/organizations/{cast.labs.pk}/privacy-settings/").status_code == 200
    assert caller.get(f"/api/v1/organizations/{cast.brage.pk}/privacy-settings/").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "", "scopes": ["consent:read"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["consent:member"]},  # the provider's alone
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "scopes": ["consent:read"], "expires_on": "2020-01-01"},
    ],
)
def test_key__what_can_not_be__400_and_none_made(cast: Cast, wrong: dict[str, Any]) -> None:
    client = signed_in(cast, "owner")
    with changes_nothing():
        assert client.post(url(cast, "settings"), {"do": "create", **wrong}).status_code == 400


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
def test_days__at_the_ends_of_time__no_error(cast: Cast, day: str) -> None:
    client = signed_in(cast, "owner")
    for name in ("since", "until"):
        assert client.get(url(cast, "history"), {name: day}).status_code == 200
        assert client.get(url(cast, "history") + "csv/", {name: day}).status_code == 200
    sent = {"do": "create", "name": "sync", "scopes": ["consent:read"], "expires_on": day}
    assert client.post(url(cast, "settings"), sent).status_code in (302, 400)


@pytest.mark.parametrize(
    ("day", "end"),
    [
        (dt.date(2026, 12, 31), dt.datetime(2027, 1, 1, tzinfo=dt.UTC)),
        (dt.date.max - dt.timedelta(days=1), dt.datetime(9999, 12, 31, tzinfo=dt.UTC)),
        (dt.date.max, dt.datetime.max.replace(tzinfo=dt.UTC)),
    ],
)
def test_day__the_last_of_something__belongs_to_it_whole(cast: Cast, day: dt.date, end: dt.datetime) -> None:
    history = HistoryFilter({"until": day.isoformat()})
    assert history.is_valid() and history.conditions() == {"recorded_at__lt": end}
    sent = {"do": "create", "name": "sync", "scopes": ["consent:read"], "expires_on": day.isoformat()}
    assert signed_in(cast, "owner").post(url(cast, "settings"), sent).status_code == 302
    assert ApiKey.objects.get(name="sync").expires_at == end


def test_key__revoked__ends_at_once(cast: Cast) -> None:
    key, text = issue_key("sync", ["consent:read"], organization=cast.labs)
    confirm(signed_in(cast, "owner"), url(cast, "settings"), {"do": "revoke", "key": str(key.pk)})
    caller = Client(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert caller.get(f"/api/v1/organizations/{cast.labs.pk}/privacy-settings/").status_code == 401


def test_key__of_another_organization__not_found(cast: Cast) -> None:
    key, _text = issue_key("theirs", ["consent:read"], organization=cast.brage)
    client = signed_in(cast, "owner")
    with changes_nothing():
        answer = client.post(url(cast, "settings"), {"do": "revoke", "key": str(key.pk)})
    assert answer.status_code == 404
    assert client.post(url(cast, "settings"), {"do": "explode"}).status_code == 400


# --- Files ----------------------------------------------------------------------------------------------------------


def exported(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200 and "attachment" in answer["Content-Disposition"]
    assert answer["Content-Type"] == ("application/x-ndjson" if "/jsonl/" in path else "text/csv; charset=utf-8")
    return b"".join(answer).decode("utf-8-sig")  # type: ignore[arg-type]


def test_history_export__both_forms__every_event_newest_first(cast: Cast) -> None:
    opted_out_by_owner(cast)
    client = signed_in(cast, "auditor")
    rows = list(csv.DictReader(io.StringIO(exported(client, url(cast, "history") + "csv/?about=use"))))
    lines = [json.loads(line) for line in exported(client, url(cast, "history") + "jsonl/?about=use").splitlines()]
    own = ConsentEvent.objects.filter(organization=cast.labs).without_access()
    assert (
        [int(row["event"]) for row in rows]
        == [line["event"] for line in lines]
        == list(own.order_by("-pk").values_list("pk", flat=True))
    )
    assert (rows[0]["what"], rows[0]["after"], rows[0]["who"]) == ("choice.opted_out", "opted_out", "Ada Lindqvist")


def test_history_export__filters__as_on_the_page(cast: Cast) -> None:
    opted_out_by_owner(cast)
    client = signed_in(cast, "owner")
    (row,) = csv.DictReader(io.StringIO(exported(client, url(cast, "history") + "csv/?kind=choice.opted_out")))
    assert row["product"] == "le_chat"
    assert exported(client, url(cast, "history") + "jsonl/?until=2000-01-01") == ""
    assert len(exported(client, url(cast, "history") + "jsonl/?since=2000-01-01").splitlines()) > 1
    assert client.get(url(cast, "history") + "csv/?kind=nonsense").status_code == 404
    assert client.get(url(cast, "history") + "pdf/").status_code == 404


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_history_export__what_a_spreadsheet_would_run__neutralised(cast: Cast, start: str) -> None:
    cast.owner.name = f"{start}SUM(A1)"
    cast.owner.save()
    opted_out_by_owner(cast)
    row = next(csv.DictReader(io.StringIO(exported(signed_in(cast, "owner"), url(cast, "history") + "csv/"))))
    assert row["who"] == f"'{start}SUM(A1)"


def test_history_export__members_choices__not_in_it(cast: Cast) -> None:
    client = signed_in(cast, "member")
    client.post(f"/settings/data-controls/{cast.labs_member.pk}/", {"choice": "opted_out"})
    assert "choice." not in exported(signed_in(cast, "owner"), url(cast, "history") + "csv/")


def test_my_choices__mine_and_nobody_elses(cast: Cast) -> None:
    client = signed_in(cast, "member")
    client.post(f"/settings/data-controls/{cast.labs_member.pk}/", {"choice": "opted_out"})
    found = json.loads(client.get("/settings/data-controls/mine.json").content)
    (membership,) = found["memberships"]
    assert (membership["organization"], membership["used_for_training"]) == ("Kvasir Labs", False)
    assert [choice["chosen"] for choice in membership["choices"]] == ["opted_out"]
    others = json.loads(signed_in(cast, "owner").get("/settings/data-controls/mine.json").content)
    assert others["memberships"][0]["choices"] == []


# --- Who is there ---------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(settings: Any) -> None:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True


def test_opt_in__on_an_opted_out_plan__asks_for_the_password_and_then_does_it(cast: Cast, asked: None) -> None:
    client, page = signed_in(cast, "owner"), url(cast, "privacy")
    wish = opt_in(cast, "ai_studio", reason="Decided by the board.")
    with changes_nothing():
        answer = client.post(page, wish)
    assert answer["Location"] == f"/account/confirm/?next={page.replace('/', '%2F')}"
    with changes_nothing():
        wrong = client.post(answer["Location"], {"password": "wrong", "next": page})
    assert wrong.status_code == 200
    done = client.post(answer["Location"], {"password": PASSWORD, "next": page})
    assert (done.status_code, done["Location"]) == (302, f"{page}#setting-{AI_STUDIO_CONSOLE.key}")
    assert choice_of(cast, "ai_studio") == "opted_in"
    assert ConsentEvent.objects.latest("pk").reason == "Decided by the board."


def test_opt_in__soon_again__not_asked_again(cast: Cast, asked: None) -> None:
    client, page = signed_in(cast, "owner"), url(cast, "privacy")
    answer = client.post(page, opt_in(cast, "ai_studio", reason="Decided."))
    client.post(answer["Location"], {"password": PASSWORD, "next": page})
    client.post(page, {"choice": "opted_out"})
    client.post(page, opt_in(cast, "ai_studio", reason="Decided again."))
    assert choice_of(cast, "ai_studio") == "opted_in"


def test_opt_out__never_asks(cast: Cast, asked: None) -> None:
    client, before = signed_in(cast, "owner"), events()
    client.post(url(cast, "le-chat"), {"choice": "opted_out"})
    assert (choice_of(cast), events()) == ("opted_out", before + 1)


def test_opt_in__on_a_plan_that_is_in_by_default__does_not_ask(cast: Cast, asked: None) -> None:
    client = signed_in(cast, "owner")
    client.post(url(cast, "le-chat"), {"choice": "opted_out"})
    client.post(url(cast, "le-chat"), opt_in(cast))
    assert choice_of(cast) == "opted_in"


def test_approval__asks_and_then_approves(cast: Cast, asked: None) -> None:
    second = UserFactory(email="second@provider.example", name="Second", operator=True)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )
    job = actions.preview_choice(
        surface=AI_STUDIO_CONSOLE, selection=Selection(everything=True), choice="opted_in", reason="Agreed.",
        actor=cast.provider, source="admin",
    )  # fmt: skip
    job = actions.submit(job=job, actor=cast.provider, digest=job.digest)
    client = Client()
    client.force_login(second)
    path = f"/admin/consent/bulkjob/{job.pk}/verbs/approve/"
    answer = client.post(path)
    job.refresh_from_db()
    assert (answer.status_code, job.status) == (302, "awaiting_approval")
    done = client.post(answer["Location"], {"password": PASSWORD, "next": path})
    job.refresh_from_db()
    assert (done.status_code, job.status, job.approver) == (302, "queued", second)


def test_operators_opt_in__asks_too(cast: Cast, asked: None) -> None:
    client = signed_in(cast, "operator")
    path = reverse("admin:accounts_organization_setting", args=[cast.labs.pk, AI_STUDIO_CONSOLE.key])
    with changes_nothing():
        answer = client.post(path, opt_in(cast, "ai_studio", reason="By letter of 3 May."))
    assert answer["Location"].startswith("/account/confirm/")
    client.post(answer["Location"], {"password": PASSWORD, "next": path})
    assert choice_of(cast, "ai_studio") == "opted_in"


def test_actor__of_a_confirmed_person__is_that_person(cast: Cast, asked: None) -> None:
    client, page = signed_in(cast, "admin"), url(cast, "privacy")
    answer = client.post(page, opt_in(cast, "ai_studio", reason="Decided."))
    client.post(answer["Location"], {"password": PASSWORD, "next": page})
    assert ConsentEvent.objects.latest("pk").actor_id == Actor.from_user(cast.admin, confirmed=True).id


def test_api_with_a_session__opt_in_and_approval__ask_too(cast: Cast, asked: None) -> None:
    client = signed_in(cast, "owner")
    path = f"/api/v1/organizations/{cast.labs.pk}/privacy-settings/{AI_STUDIO_CONSOLE.key}/"
    body = {"choice": "opted_in", "reason": "Decided."}
    headers = {"If-Match": client.get(path)["ETag"]}
    with changes_nothing():
        refused = client.put(path, body, content_type="application/json", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "reauthentication_required")
    client.post("/account/confirm/", {"password": PASSWORD})
    assert client.put(path, body, content_type="application/json", headers=headers).status_code == 200
    job = actions.preview_choice(
        surface=LE_CHAT_CONSOLE, selection=Selection(everything=True), choice="opted_in", reason="Agreed.",
        actor=cast.provider, source="admin",
    )  # fmt: skip
    actions.submit(job=job, actor=cast.provider, digest=job.digest)
    second = Client()
    second.force_login(UserFactory(email="second@provider.example", name="Second", operator=True, old=True))
    path = f"/api/v1/bulk-jobs/{job.pk}/approve/"
    with changes_nothing():
        refused = second.post(path, {}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "reauthentication_required")
    job.refresh_from_db()
    assert job.status == "awaiting_approval"

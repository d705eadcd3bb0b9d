"""The operators' site: consumers, the overview's clock, and what is asked before it is done."""

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client

from consent import ledger
from consent.models import ConsentEvent, Consumer, ConsumerDataset
from consent.projections import honour
from consent.services import credentials
from tests.support.asking import asks, confirm
from tests.support.callers import by_key
from tests.support.cast import Cast
from tests.support.console import opted_out_by_owner
from tests.support.consumers import registered, run_clock, say
from tests.support.ledger_guards import everything, sql
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db
GIVEN = {
    "name": "dataset-builder",
    "purpose": "Builds the datasets",
    "contact": "data@provider.example",
    "expected_lag_minutes": "30",
    "webhook": "",
    "datasets": "chat\r\n\r\n code \r\n",
}


@pytest.fixture
def operator(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.operator)
    return client


def shown(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def page(client: Client, consumer: Consumer) -> str:
    return shown(client, url("consent_consumer_change", consumer.pk))


def test_consumer__registered__its_key_is_shown_once(operator: Client) -> None:
    assert "Register it" in shown(operator, url("consent_consumer_add"))
    response = operator.post(url("consent_consumer_add"), GIVEN)
    consumer = Consumer.objects.get()
    assert response["Location"] == url("consent_consumer_key", consumer.pk)
    assert set(consumer.datasets.values_list("name", flat=True)) == {"chat", "code"}
    text = re.search(r"tck_[\w-]{52}", operator.get(response["Location"]).content.decode())
    assert text is not None
    assert operator.post(response["Location"]).status_code == 302
    assert text[0] not in operator.get(response["Location"], follow=True).content.decode()


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"name": ""}, 400), ({"expected_lag_minutes": "-1"}, 400), ({"webhook": "x"}, 400), ({"name": "taken"}, 400)],
)
def test_consumer__with_a_bad_value__shown_with_its_error(
    operator: Client, cast: Cast, changes: dict[str, str], status: int
) -> None:
    registered(cast, "taken")
    ledger.sequence()
    before = everything()
    response = operator.post(url("consent_consumer_add"), GIVEN | changes)
    assert response.status_code == status and "errorlist" in response.content.decode()
    assert everything() == before


def test_list_and_page__say_how_far_each_is(operator: Client, cast: Cast) -> None:
    assert shown(operator, url("consent_consumer_changelist"))
    made = registered(cast, datasets=["chat", "code"])
    registered(cast, "silent")
    opted_out_by_owner(cast)
    run_clock()
    say(made, 4, "chat")
    listed = shown(operator, url("consent_consumer_changelist"))
    assert "Has said nothing yet" in listed and "dataset-builder" in listed
    own = page(operator, made.consumer)
    assert ">4</td>" in own and "1 event that tightens waits for it." in own and "applied, it says" in own
    say(made)
    run_clock()
    own = page(operator, made.consumer)
    assert "In time" in own and "No event that tightens waits for it." in own


def test_change__of_words__saved_at_once(operator: Client, cast: Cast) -> None:
    made = registered(cast, datasets=["chat", "code"])
    edit = url("consent_consumer_edit", made.consumer.pk)
    assert "chat\ncode" in operator.get(edit).content.decode()
    response = operator.post(edit, GIVEN | {"purpose": "Trains"})
    assert response.status_code == 302
    made.consumer.refresh_from_db()
    assert (made.consumer.purpose, made.consumer.expected_lag_minutes) == ("Trains", 30)
    bad = operator.post(edit, GIVEN | {"name": ""})
    assert bad.status_code == 400
    made.consumer.refresh_from_db()
    assert made.consumer.name == "dataset-builder"


def test_change__that_leaves_a_dataset_out__asks_before(operator: Client, cast: Cast) -> None:
    made = registered(cast, datasets=["chat", "code"])
    edit = url("consent_consumer_edit", made.consumer.pk)
    before = everything()
    asked = operator.post(edit, GIVEN | {"datasets": "code"})
    assert asked.status_code == 200 and asks(asked)
    assert "Nothing waits for the dataset “chat” any more" in asked.content.decode()
    assert everything() == before
    assert confirm(operator, edit, GIVEN | {"datasets": "code"}).status_code == 302
    live = ConsumerDataset.objects.filter(removed_at=None)
    assert list(live.values_list("name", flat=True)) == ["code"]


def test_another_key__asks_before__and_the_old_one_is_worth_nothing(operator: Client, cast: Cast) -> None:
    made = registered(cast)
    verb = url("consent_consumer_verb", made.consumer.pk, "rotate")
    before = everything()
    asked = operator.post(verb)
    assert asks(asked) and everything() == before
    response = confirm(operator, verb)
    assert response["Location"] == url("consent_consumer_key", made.consumer.pk)
    made.consumer.refresh_from_db()
    assert made.consumer.key.revoked_at is None and made.consumer.key.prefix != made.text[:12]


def test_page__its_key_is_worth_nothing__says_so(operator: Client, cast: Cast) -> None:
    made = registered(cast)
    assert "It can say nothing" not in page(operator, made.consumer)
    credentials.revoke_key(key=made.consumer.key, actor=cast.provider, source="admin")
    assert "It can say nothing" in page(operator, made.consumer)


def test_remove__asks_before_with_a_reason(operator: Client, cast: Cast) -> None:
    made = registered(cast)
    opted_out_by_owner(cast)
    run_clock()
    verb = url("consent_consumer_verb", made.consumer.pk, "remove")
    before = everything()
    without = operator.post(verb)
    assert without.status_code == 400 and everything() == before
    asked = operator.post(verb, {"reason": "Shut down"})
    assert asks(asked) and everything() == before
    assert "1 event that tightens waits for it now" in asked.content.decode()
    assert confirm(operator, verb, {"reason": "Shut down"}).status_code == 302
    made.consumer.refresh_from_db()
    assert made.consumer.removed_at is not None
    assert "Removed" in page(operator, made.consumer)
    for path in (verb, url("consent_consumer_verb", made.consumer.pk, "rotate")):
        assert operator.post(path, {"reason": "x"}).status_code == 404
    assert operator.get(url("consent_consumer_edit", made.consumer.pk)).status_code == 404


def test_verbs__unknown_or_by_get__refused(operator: Client, cast: Cast) -> None:
    made = registered(cast)
    before = everything()
    assert operator.post(url("consent_consumer_verb", made.consumer.pk, "explode")).status_code == 404
    assert operator.get(url("consent_consumer_verb", made.consumer.pk, "remove")).status_code == 405
    assert operator.post(url("consent_consumer_change", made.consumer.pk)).status_code == 405
    assert everything() == before


def test_pages__for_nobody_but_operators(cast: Cast) -> None:
    made = registered(cast)
    client = Client()
    client.force_login(cast.owner)
    of_it = (made.consumer.pk,)
    for name, args in (
        ("changelist", ()),
        ("add", ()),
        ("change", of_it),
        ("edit", of_it),
        ("key", of_it),
    ):
        assert client.get(url(f"consent_consumer_{name}", *args)).status_code == 403, name


def test_ledger__names_consumers_and_what_changed(operator: Client, cast: Cast) -> None:
    made = registered(cast)
    operator.post(url("consent_consumer_edit", made.consumer.pk), GIVEN | {"datasets": ""})
    listed = shown(operator, url("consent_consentevent_changelist"))
    assert "Consumer registered" in listed and "dataset-builder" in listed
    assert "purpose, expected lag in minutes" in listed


def test_ledger__page_of_an_opt_out__says_by_name_how_far_each_is(operator: Client, cast: Cast) -> None:
    one = registered(cast, "one")
    registered(cast, "two")
    opted_out_by_owner(cast)
    say(one)
    event = ConsentEvent.objects.filter(kind="choice.opted_out").latest("pk")
    own = shown(operator, url("consent_consentevent_change", event.pk))
    assert "Saved → delivered to 1 of 2 → applied by 1 of 2" in own
    assert f"one: applied, it says; it is at position {ledger.head()} now" in own
    assert "two: applied" not in own


# --- The overview and the metrics -------------------------------------------------------------------------------------


def test_overview__clock__without_consumers_with_them_and_overdue(operator: Client, cast: Cast) -> None:
    assert "so the clock does not run" in shown(operator, url("index"))
    made = registered(cast)
    assert "Nothing has tightened in 90 days." in shown(operator, url("index"))
    opted_out_by_owner(cast)
    run_clock()
    assert "1 event that tightens in 90 days; 1 still waits." in shown(operator, url("index"))
    sql("UPDATE consent_awaitedevent SET at = at - %s", [dt.timedelta(hours=30) // dt.timedelta(microseconds=1)])
    honour.tell_overdue()
    overview = shown(operator, url("index"))
    assert "Overdue" in overview and "has not applied what was saved since" in overview
    say(made)
    run_clock()
    overview = shown(operator, url("index"))
    assert "Overdue" not in overview and "1 event that tightens in 90 days; applied within" in overview


def metrics() -> dict[str, float]:
    lines: Any = by_key("events:read").get("/metrics").content.decode().splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines if line.startswith("consent_"))
            if "{" not in name}  # fmt: skip


def test_metrics__consumers_overdue_and_age(cast: Cast) -> None:
    registered(cast)
    opted_out_by_owner(cast)
    run_clock()
    found = metrics()
    assert (found["consent_consumers"], found["consent_consumers_overdue"]) == (1, 0)
    sql("UPDATE consent_awaitedevent SET at = at - %s", [dt.timedelta(hours=30) // dt.timedelta(microseconds=1)])
    found = metrics()
    assert found["consent_consumers_overdue"] == 1 and found["consent_honour_oldest_seconds"] >= 30 * 3_600

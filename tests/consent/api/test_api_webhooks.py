from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from consent import ledger
from consent.delivery import endpoints, sending
from consent.models import ConsentEvent, WebhookEndpoint
from consent.services import organizations
from tests.support.callers import World, assert_problem
from tests.support.commands import database
from tests.support.webhook_receiver import Receiver, receiver

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/consent"


@pytest.fixture
def there(settings: Any) -> Iterator[Receiver]:
    settings.DEBUG, settings.WEBHOOK_ALLOWED_NETWORKS = True, ["127.0.0.0/8", "::1/128"]
    with receiver() as found:
        yield found


def test_webhook__from_its_making_to_a_verified_event(world: World, there: Receiver) -> None:
    made = world.key.post("webhooks/", {"url": there.url, "description": "CRM"})
    body = made.json()
    assert made.status_code == 201 and made["Location"].endswith(f"/webhooks/{body['id']}/")
    assert (body["organization"], body["status"], body["kinds"]) == (str(world.cast.labs.pk), "active", [])
    secret = body.pop("secret")
    assert world.key.get(f"webhooks/{body['id']}/").json() == body
    assert world.key.get("webhooks/").json()["results"] == [body]
    organizations.update_organization(
        organization=world.cast.labs, name="Kvasir", actor=world.cast.provider, source="admin"
    )  # fmt: skip
    ledger.sequence()
    endpoints.deliver_next(sending.Sender())
    headers, sent = there.got[0]
    assert Webhook(secret).verify(sent, headers)["kind"] == "organization.updated"
    [attempt] = world.key.get(f"webhooks/{body['id']}/attempts/").json()["results"]
    assert (attempt["status"], attempt["delivered"], attempt["answer"]) == (200, True, "thanks")
    replayed = world.key.post(f"webhooks/{body['id']}/replay/", {"after": attempt["position"] - 1})
    assert replayed.json()["position"] == attempt["position"] - 1
    tested = world.key.post(f"webhooks/{body['id']}/test/", {})
    assert (tested.status_code, tested.json()["waiting"], tested.json()["position"]) == (202, True, None)
    assert tested["Location"].endswith(f"/webhooks/{body['id']}/attempts/")
    endpoints.send_next_test(sending.Sender())
    result = world.key.get(tested["Location"]).json()["results"][0]
    assert (result["id"], result["waiting"], result["delivered"]) == (tested.json()["id"], False, True)
    rotated = world.key.post(f"webhooks/{body['id']}/rotate-secret/", {}).json()["secret"]
    assert rotated != secret
    paused = world.key.patch(f"webhooks/{body['id']}/", {"status": "paused"}).json()
    assert (paused["status"], paused["paused_because"]) == ("paused", "somebody")
    assert world.key.delete(f"webhooks/{body['id']}/").status_code == 204
    assert not WebhookEndpoint.objects.exists()


def test_webhook__of_an_operator__everybodys_or_one_organizations(world: World) -> None:
    for organization in (None, str(world.cast.labs.pk)):
        made = world.operator_key.post("webhooks/", {"url": URL, "organization": organization})
        assert (made.status_code, made.json()["organization"]) == (201, organization)
    assert len(world.operator_key.get("webhooks/").json()["results"]) == 2
    assert len(world.key.get("webhooks/").json()["results"]) == 1
    assert world.foreign_key.get("webhooks/").json()["results"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/url"),
        ({"url": 7}, "#/url"),
        ({"url": "https://127.0.0.1/"}, "#/url"),
        ({"url": "http://hooks.example.com/"}, "#/url"),
        ({"url": URL, "kinds": ["choice.eaten"]}, "#/kinds/0"),
        ({"url": URL, "kinds": "all"}, "#/kinds"),
        ({"url": URL, "colour": "red"}, "#/colour"),
        ({"url": URL, "description": "x" * 201}, "#/description"),
    ],
)
def test_post__bad_input__400_names_it_and_nothing_made(world: World, body: dict[str, Any], pointer: str) -> None:
    answer = world.key.post("webhooks/", body)
    assert answer.status_code == 400
    assert pointer in [each["pointer"] for each in answer.json()["errors"]]
    assert not WebhookEndpoint.objects.exists()


def test_post__more_than_allowed__409(world: World, settings: Any) -> None:
    settings.WEBHOOKS_PER_ORGANIZATION = 1
    assert world.key.post("webhooks/", {"url": URL}).status_code == 201
    assert_problem(world.key.post("webhooks/", {"url": URL}), 409, "too_many")
    assert WebhookEndpoint.objects.count() == 1


def test_foreign_and_absent__404_alike_and_nothing_changed(world: World, settings: Any) -> None:
    settings.KEY_RATE = 0
    made = world.key.post("webhooks/", {"url": URL}).json()["id"]
    world.foreign_key.get("products/")
    before = database()
    for ident in (made, "01890000-0000-7000-8000-000000000000", "nothing"):
        path = f"webhooks/{ident}/"
        for answer in (
            world.foreign_key.get(path), world.foreign_key.patch(path, {"status": "paused"}),
            world.foreign_key.delete(path), world.foreign_key.post(f"{path}replay/", {"after": 0}),
            world.foreign_key.post(f"{path}rotate-secret/", {}), world.foreign_key.post(f"{path}test/", {}),
            world.foreign_key.get(f"{path}attempts/"),
        ):  # fmt: skip
            assert_problem(answer, 404, "not_found")
    assert database() == before


def test_replay__beyond_the_head__400(world: World) -> None:
    made = world.key.post("webhooks/", {"url": URL}).json()["id"]
    assert_problem(world.key.post(f"webhooks/{made}/replay/", {"after": 10**9}), 400, "position", "#/after")


# --- Where a webhook stands (R4) --------------------------------------------------------------------------------------


def something_hidden(world: World, there: str) -> None:
    """Another organization's event, or what a member of this one chose."""
    if there == "elsewhere":
        organizations.update_organization(
            organization=world.cast.brage, country="NO", actor=world.cast.provider, source="admin"
        )
    else:
        assert (
            world.member.put(f"{world.dag}privacy-settings/le_chat_mobile/", {"choice": "opted_out"}).status_code == 200
        )
    ledger.sequence()


@pytest.mark.parametrize("where", ["elsewhere", "a member"])
def test_position__what_the_organization_does_not_see__leaves_it_where_it_is(
    where: str, world: World, there: Receiver
) -> None:
    made = world.key.post("webhooks/", {"url": there.url}).json()
    ledger.sequence()
    own = ConsentEvent.objects.filter(organization=world.cast.labs).latest("placed__position").placed.position
    path = f"webhooks/{made['id']}/"
    something_hidden(world, where)
    assert own < ledger.head(), "the last event is not for the organization to see"
    endpoints.deliver_next(sending.Sender())
    assert WebhookEndpoint.objects.get().position == ledger.head()
    positions = [world.owner.get(path).json()["position"]]
    positions += [each["position"] for each in world.key.get("webhooks/").json()["results"]]
    assert positions == [own] * 2 and made["position"] < own, "it was made by an event of its own"
    assert world.operator.get(path).json()["position"] == ledger.head()
    assert there.got == []


@pytest.mark.parametrize("where", ["elsewhere", "a member"])
def test_replay__beyond_the_organizations_own_events__refused_without_telling_of_others(
    where: str, world: World
) -> None:
    hook = world.key.post("webhooks/", {"url": URL}).json()
    ledger.sequence()
    own, path = ledger.head(), f"webhooks/{hook['id']}/replay/"
    something_hidden(world, where)
    before = list(WebhookEndpoint.objects.values())
    answers = [caller.post(path, {"after": own + 1}) for caller in (world.key, world.owner, world.admin)]
    for answer in answers:
        assert_problem(answer, 400, "position", "#/after")
        assert f"from 0 to {own}," in answer.json()["detail"]
    assert list(WebhookEndpoint.objects.values()) == before
    assert world.key.post(path, {"after": own}).json()["position"] == own
    assert world.operator.post(path, {"after": ledger.head()}).json()["position"] == ledger.head()
    assert_problem(world.operator.post(path, {"after": ledger.head() + 1}), 400, "position", "#/after")

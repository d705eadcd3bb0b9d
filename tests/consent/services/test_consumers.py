"""Consumers: registering, changing and removing them; what only their own key may say, and only forwards."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.access import Actor, Forbidden, NotFound
from accounts.models import ApiKey
from consent import ledger
from consent.errors import ConfirmationRequired, Invalid, Refused, Unprocessable
from consent.models import ConsentEvent, Consumer, ConsumerDataset, PositionAdvance
from consent.services import consumers, credentials, webhooks
from tests.support.cast import Cast
from tests.support.consumers import own, registered, say
from tests.support.factories import UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, everything
from tests.support.webhooks import happen

pytestmark = pytest.mark.django_db


def kinds_about(consumer: Consumer) -> list[tuple[str, str]]:
    found = ConsentEvent.objects.filter(target=str(consumer.pk), kind__startswith="consumer.").order_by("pk")
    return list(found.values_list("kind", "after"))


def position(consumer: Consumer, dataset: str = "") -> int:
    return ConsumerDataset.objects.get(consumer=consumer, name=dataset, removed_at=None).position


# --- Registering ------------------------------------------------------------------------------------------------------


def test_register__by_an_operator__has_a_key_of_its_own_and_starts_after_the_head(cast: Cast) -> None:
    happen(cast, 2)
    head = ledger.head()
    made = registered(cast)
    consumer, key = made.consumer, made.consumer.key
    assert (key.scopes, key.organization, key.issued_by) == (["consumer:write"], None, cast.operator)
    assert own(made).key == key
    assert consumer.starts_after == head > 0
    assert [(each.name, each.position, each.starts_after) for each in consumer.datasets.all()] == [
        ("", 0, consumer.starts_after)
    ]
    assert kinds_about(consumer) == [("consumer.registered", "")]
    event = ConsentEvent.objects.get(kind="consumer.registered")
    assert event.organization is None and event.by_operator


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"purpose": ""}, "purpose"),
        ({"contact": "a\nb"}, "contact"),
        ({"expected_lag_minutes": -1}, "expected_lag_minutes"),
        ({"expected_lag_minutes": 600_000}, "expected_lag_minutes"),
        ({"datasets": ["a", "a"]}, "datasets"),
        ({"datasets": [" "]}, "datasets"),
        ({"datasets": [str(n) for n in range(51)]}, "datasets"),
    ],
)
def test_register__with_a_bad_value__names_the_field_and_changes_nothing(
    cast: Cast, changes: dict[str, Any], field: str
) -> None:
    before = everything()
    with pytest.raises(Invalid) as caught:
        registered(cast, **({"name": "x"} | changes))
    assert caught.value.field == field
    assert everything() == before


def test_register__with_a_name_that_is_taken__refused(cast: Cast) -> None:
    made = registered(cast)
    with pytest.raises(Invalid) as caught:
        registered(cast)
    assert caught.value.code == "taken"
    consumers.remove(consumer=made.consumer, actor=cast.provider, source="admin", reason="Replaced")
    assert registered(cast).consumer.pk != made.consumer.pk


def test_register__by_others_than_operators__forbidden(cast: Cast) -> None:
    for actor in (
        Actor.from_user(cast.owner, confirmed=True),
        Actor.from_key(issue_key("K", ApiKey.Scope.values)[0]),
        Actor.system(),
    ):
        with pytest.raises(Forbidden):
            consumers.register(name="x", purpose="x", contact="x", expected_lag_minutes=1, actor=actor, source="admin")
    assert Consumer.objects.count() == 0


def test_register__webhook_of_an_organization_or_of_some_kinds__refused(cast: Cast) -> None:
    who: Any = {"actor": cast.provider, "source": "admin", "url": "https://hooks.example.com/"}
    theirs = webhooks.create_endpoint(organization=cast.labs, **who)
    some = webhooks.create_endpoint(organization=None, kinds=["choice.opted_out"], **who)
    for hook in (theirs, some):
        with pytest.raises(Invalid) as caught:
            registered(cast, webhook=hook)
        assert caught.value.field == "webhook"
    assert Consumer.objects.count() == 0


# --- Changing and removing --------------------------------------------------------------------------------------------


def test_change__of_some_values__one_event_that_names_them(cast: Cast) -> None:
    made = registered(cast, datasets=["chat"])
    who: Any = {"consumer": made.consumer, "actor": cast.provider, "source": "admin"}
    consumers.change(**who, purpose="Trains", expected_lag_minutes=60, datasets=["chat", "code"])
    assert kinds_about(made.consumer)[1:] == [("consumer.changed", "purpose, datasets")]
    consumers.change(**who, purpose="Trains", datasets=["code", "chat"])
    assert len(kinds_about(made.consumer)) == 2
    happen(cast)
    consumers.change(**who, datasets=["code"])
    assert set(made.consumer.datasets.filter(removed_at=None).values_list("name", flat=True)) == {"code"}
    # A name that comes back is another dataset: it starts anew.
    consumers.change(**who, datasets=["chat", "code"])
    fresh = made.consumer.datasets.get(name="chat", removed_at=None)
    assert fresh.position == 0 and fresh.starts_after > made.consumer.starts_after


def test_change__name_taken__refused_and_nothing_changes(cast: Cast) -> None:
    registered(cast, "one")
    other = registered(cast, "two").consumer
    with pytest.raises(Invalid):
        consumers.change(consumer=other, actor=cast.provider, source="admin", name="one")
    other.refresh_from_db()
    assert other.name == "two"
    assert kinds_about(other) == [("consumer.registered", "")]


def test_renew_key__the_old_one_is_worth_nothing(cast: Cast) -> None:
    made = registered(cast)
    again = consumers.renew_key(consumer=made.consumer, actor=cast.provider, source="admin")
    assert again.consumer.key_id != made.consumer.key_id
    made.consumer.key.refresh_from_db()
    assert made.consumer.key.revoked_at is not None
    say(again)
    assert position(made.consumer) == ledger.head()


def test_key__given_without_showing_who_one_is__refused_and_removing_needs_no_such_thing(cast: Cast) -> None:
    """As of all credentials: what makes one asks who is there, what ends one does not."""
    made = registered(cast)
    ledger.sequence()
    unconfirmed: Any = {"actor": Actor.from_user(cast.operator), "source": "admin"}
    described: Any = {"name": "two", "purpose": "x", "contact": "x", "expected_lag_minutes": 1}
    with changes_nothing(), pytest.raises(ConfirmationRequired):
        consumers.renew_key(consumer=made.consumer, **unconfirmed)
    with changes_nothing(), pytest.raises(ConfirmationRequired):
        consumers.register(**described, **unconfirmed)
    assert credentials.is_usable(made.consumer.key)
    consumers.remove(consumer=made.consumer, reason="Shut down", **unconfirmed)
    made.consumer.key.refresh_from_db()
    assert not credentials.is_usable(made.consumer.key)


def test_remove__ends_its_key_keeps_what_it_said_and_needs_a_reason(cast: Cast) -> None:
    made = registered(cast)
    happen(cast)
    say(made)
    who: Any = {"consumer": made.consumer, "actor": cast.provider, "source": "admin"}
    with pytest.raises(Invalid):
        consumers.remove(**who, reason=" ")
    consumers.remove(**who, reason="Shut down")
    made.consumer.refresh_from_db()
    assert made.consumer.removed_at is not None and made.consumer.key.revoked_at is not None
    assert PositionAdvance.objects.filter(consumer=made.consumer).count() == 1
    assert kinds_about(made.consumer)[-1][0] == "consumer.removed"
    for again in (
        lambda: consumers.remove(**who, reason="x"),
        lambda: consumers.change(**who, name="x"),
        lambda: consumers.renew_key(**who),
    ):
        with pytest.raises(NotFound):
            again()


# --- Positions --------------------------------------------------------------------------------------------------------


def test_report__forwards__noted_with_its_instant(cast: Cast) -> None:
    made = registered(cast)
    happen(cast, 3)
    say(made, 2)
    say(made, 4)
    advances = PositionAdvance.objects.filter(consumer=made.consumer).order_by("pk")
    assert [each.position for each in advances] == [2, 4]
    assert advances[0].at < advances[1].at
    assert position(made.consumer) == 4


def test_report__the_same_again__changes_nothing(cast: Cast) -> None:
    made = registered(cast)
    say(made)
    before = everything()
    say(made)
    assert everything() == before


@pytest.mark.parametrize(
    ("there", "said", "error", "code"),
    [(3, 2, Refused, "backwards"), (0, 10**6, Unprocessable, "beyond_head")],
)
def test_report__backwards_or_beyond_the_head__refused_and_nothing_changes(
    cast: Cast, there: int, said: int, error: type[Exception], code: str
) -> None:
    made = registered(cast)
    if there:
        say(made, there)
    ledger.sequence()
    before = everything()
    with pytest.raises(error) as caught:
        say(made, said)
    assert caught.value.args[0] == code
    assert everything() == before


def test_report__of_one_of_several_datasets__moves_that_one(cast: Cast) -> None:
    made = registered(cast, datasets=["chat", "code"])
    say(made, 3, "chat")
    assert (position(made.consumer, "chat"), position(made.consumer, "code")) == (3, 0)
    say(made, 4)
    assert (position(made.consumer, "chat"), position(made.consumer, "code")) == (4, 4)
    say(made, 6, "code")
    with pytest.raises(Refused):  # all or none
        say(made, 5)
    assert (position(made.consumer, "chat"), position(made.consumer, "code")) == (4, 6)
    with pytest.raises(Invalid) as caught:
        say(made, 7, "voice")
    assert caught.value.field == "dataset"


def test_report__by_anybody_but_its_own_key__forbidden(cast: Cast) -> None:
    made, other = registered(cast, "one"), registered(cast, "two")
    actors = (
        cast.provider,
        Actor.from_command(cast.operator),
        own(other),
        Actor.from_key(issue_key("K", ApiKey.Scope.values)[0]),
        Actor.from_user(cast.owner, confirmed=True),
    )
    before = everything()
    for actor in actors:
        with pytest.raises(Forbidden):
            consumers.report(consumer=made.consumer, position=1, actor=actor)
    assert everything() == before


def test_report__whoever_registered_it_is_no_operator_any_more__its_word_stops(cast: Cast) -> None:
    # A key is worth what the person who answers for it may do (R18): operators are told, and take the key over.
    second = UserFactory(email="second@provider.example", name="Second", operator=True)
    made = consumers.register(
        name="x", purpose="x", contact="x", expected_lag_minutes=1, source="admin",
        actor=Actor.from_user(second, confirmed=True),
    )  # fmt: skip
    type(second).objects.filter(pk=second.pk).update(is_staff=False)
    assert not Actor.from_key(ApiKey.objects.get(pk=made.consumer.key_id)).has_worth
    text = credentials.take_over_key(key=made.consumer.key, actor=cast.provider, source="admin").text
    say(consumers.Registered(made.consumer, text or ""))
    assert position(made.consumer) > 0


def test_advances__are_never_changed(cast: Cast) -> None:
    made = registered(cast)
    say(made)
    advance = PositionAdvance.objects.get()
    with pytest.raises(TypeError):
        advance.save()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE consent_positionadvance SET position = 1")


# --- What webhooks deliver --------------------------------------------------------------------------------------------


def test_note_delivered__forwards_alone__not_honoured_by_it(cast: Cast) -> None:
    hook = webhooks.create_endpoint(
        organization=None, url="https://hooks.example.com/", actor=cast.provider, source="admin"
    )
    made = registered(cast, webhook=hook)
    for at in (4, 6, 5, 6):
        consumers.note_delivered(hook, at)
    made.consumer.refresh_from_db()
    assert made.consumer.delivered == 6
    rows = PositionAdvance.objects.filter(dataset=None).order_by("pk").values_list("position", flat=True)
    assert list(rows) == [4, 6]
    assert position(made.consumer) == 0


def test_note_delivered__a_webhook_that_passes_over_kinds__notes_nothing(cast: Cast) -> None:
    hook = webhooks.create_endpoint(
        organization=None, url="https://hooks.example.com/", actor=cast.provider, source="admin"
    )
    made = registered(cast, webhook=hook)
    changed = webhooks.update_endpoint(endpoint=hook, actor=cast.provider, source="admin", kinds=["member.joined"])
    consumers.note_delivered(changed, 4)
    made.consumer.refresh_from_db()
    assert made.consumer.delivered == 0 and not PositionAdvance.objects.exists()

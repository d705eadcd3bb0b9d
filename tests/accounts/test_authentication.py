"""API keys: stored as a keyed hash, refused with one error whatever is wrong, their last use stored to the minute."""

import contextlib
import datetime as dt
import hmac
import logging
import re
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import RequestFactory, override_settings
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import authentication
from accounts.access import Actor, ActorType
from accounts.authentication import ApiKeyAuthentication, InvalidKey, key_actor, recognise
from accounts.models import ApiKey, Organization
from consent.errors import Invalid
from tests.support.cast import Cast
from tests.support.keys import issue_key

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def issued() -> tuple[ApiKey, str]:
    return issue_key("Gateway", ["decisions:read"])


def header(value: str | None) -> Any:
    return RequestFactory().get("/", **({} if value is None else {"HTTP_AUTHORIZATION": value}))


def test_issue__new_key__recognisable_and_nowhere_in_the_database(issued: tuple[ApiKey, str]) -> None:
    key, text = issued
    assert re.fullmatch(r"tck_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}", text)
    assert text.startswith(key.prefix)
    secret = text.removeprefix(key.prefix + "_")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_apikey")
        stored = " ".join(str(value) for row in cursor.fetchall() for value in row)
    assert key.prefix in stored
    assert secret not in stored and text not in stored
    assert len(key.hash) == 64 and key.hash in stored


def test_issue__twice__nothing_in_common(issued: tuple[ApiKey, str]) -> None:
    other, text = issue_key("Gateway", ["decisions:read"])
    assert (other.prefix, other.hash, text) != (issued[0].prefix, issued[0].hash, issued[1])
    assert recognise(text).key == other


@pytest.mark.parametrize(
    ("scopes", "match"), [([], "at least one scope"), (["decisions:write"], "decisions:write"), (["*"], r"“\*”")]
)
def test_issue__no_or_unknown_scopes__refused(scopes: list[str], match: str) -> None:
    with pytest.raises(Invalid, match=match):
        issue_key("Gateway", scopes)
    assert not ApiKey.objects.exists()


def test_issue__scope_for_members_on_an_organizations_key__refused(cast: Cast) -> None:
    with pytest.raises(Invalid, match="operator keys only"):
        issue_key("Theirs", ["consent:read", "consent:member"], organization=cast.labs)
    assert not ApiKey.objects.exists()


def test_issue__scopes_in_any_order_and_twice__kept_once_in_order() -> None:
    key, _ = issue_key("Gateway", ["events:read", "decisions:read", "events:read"])
    assert key.scopes == ["decisions:read", "events:read"]


def test_recognise__the_right_text__its_key(issued: tuple[ApiKey, str]) -> None:
    assert recognise(issued[1]).key == issued[0]


def wrong_secret(text: str) -> str:
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def wrong_prefix(text: str) -> str:
    return text[:11] + ("A" if text[11] != "A" else "B") + text[12:]


TEXTS = {
    "another secret": wrong_secret,
    "another prefix": wrong_prefix,
    "another's prefix": lambda text: issue_key("Other", ["decisions:read"])[1][:12] + text[12:],
    "prefix alone": lambda text: text[:12],
    "nothing": lambda text: "",
    "longer": lambda text: text + "x",
    "with a line end": lambda text: text + "\n",
    "other letters": lambda text: text.swapcase(),
    "not ASCII": lambda text: text[:-1] + "é",
    "NUL": lambda text: text[:-1] + "\x00",
    "its hash": lambda text: ApiKey.objects.get(prefix=text[:12]).hash,
}


@pytest.mark.parametrize("what", TEXTS)
def test_recognise__any_other_text__the_one_error_and_no_use_noted(issued: tuple[ApiKey, str], what: str) -> None:
    text = TEXTS[what](issued[1])
    with pytest.raises(InvalidKey) as caught:
        recognise(text)
    assert caught.value.args == ()
    assert not ApiKey.objects.exclude(last_used_at=None).exists()


def test_recognise__expired_or_revoked__the_one_error(issued: tuple[ApiKey, str]) -> None:
    key, text = issued
    for changes in ({"expires_at": NOW}, {"expires_at": NOW - MINUTE}, {"expires_at": None, "revoked_at": NOW}):
        ApiKey.objects.filter(pk=key.pk).update(**changes)
        with pytest.raises(InvalidKey) as caught:
            recognise(text, NOW)
        assert caught.value.args == ()
    assert ApiKey.objects.get().last_used_at is None
    ApiKey.objects.update(revoked_at=None, expires_at=NOW + dt.timedelta(microseconds=1))
    assert recognise(text, NOW).key == key


def test_recognise__another_pepper__the_one_error(issued: tuple[ApiKey, str]) -> None:
    with override_settings(API_KEY_PEPPER="another pepper, as long as it has to be"), pytest.raises(InvalidKey):
        recognise(issued[1])


def test_recognise__known_and_unknown_prefix__both_compare_digests_once(
    issued: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def watched(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(authentication.hmac, "compare_digest", watched)
    for text in (issued[1], wrong_secret(issued[1]), wrong_prefix(issued[1])):
        with contextlib.suppress(InvalidKey):
            recognise(text)
    assert compared == [(64, 64)] * 3


# --- Noting the use ------------------------------------------------------------------------------------------------


def test_use__often_within_a_minute__noted_once(issued: tuple[ApiKey, str], django_assert_num_queries: Any) -> None:
    text = issued[1]
    with django_assert_num_queries(2):
        recognise(text, NOW)
    assert ApiKey.objects.get().last_used_at == NOW
    for seconds in (0, 1, 59):
        with django_assert_num_queries(1):
            recognise(text, NOW + dt.timedelta(seconds=seconds))
    assert ApiKey.objects.get().last_used_at == NOW
    recognise(text, NOW + MINUTE)
    assert ApiKey.objects.get().last_used_at == NOW + MINUTE


def test_use__clock_goes_back__stays_at_the_later(issued: tuple[ApiKey, str]) -> None:
    recognise(issued[1], NOW)
    recognise(issued[1], NOW - dt.timedelta(days=1))
    assert ApiKey.objects.get().last_used_at == NOW


def test_use__cannot_be_noted__key_is_recognised_and_it_is_logged(
    issued: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from django.db.models import QuerySet

    def locked(*_args: object, **_values: object) -> int:
        raise DatabaseError("database is locked")

    monkeypatch.setattr(QuerySet, "update", locked)
    with caplog.at_level(logging.WARNING):
        assert recognise(issued[1], NOW).key == issued[0]
    assert issued[0].prefix in caplog.text
    assert issued[1] not in caplog.text


# --- In a request ------------------------------------------------------------------------------------------------


def test_key_actor__bearer__the_keys_actor(issued: tuple[ApiKey, str]) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        actor = key_actor(header(f"{scheme} {issued[1]}"))
        assert actor is not None
        assert (actor.type, actor.id, actor.key) == (ActorType.API_KEY, str(issued[0].pk), issued[0])


def test_key_actor__without_a_header__nobody() -> None:
    assert key_actor(header(None)) is None


@pytest.mark.parametrize(
    "value", ["Basic {key}", "Token {key}", "{key}", "Bearer", "Bearer ", "Bearer x", "Bearer {key} {key}"]
)
def test_key_actor__any_other_header__refused_not_anonymous(issued: tuple[ApiKey, str], value: str) -> None:
    with pytest.raises(InvalidKey):
        key_actor(header(value.format(key=issued[1])))


def test_authenticate__every_wrong_key__same_words_and_status(issued: tuple[ApiKey, str]) -> None:
    key, text = issued
    answers = set()
    for value in (wrong_secret(text), wrong_prefix(text), "nonsense"):
        with pytest.raises(AuthenticationFailed) as caught:
            ApiKeyAuthentication().authenticate(Request(header(f"Bearer {value}")))
        answers.add((str(caught.value.detail), caught.value.status_code))
    for changes in ({"revoked_at": timezone.now()}, {"revoked_at": None, "expires_at": timezone.now()}):
        ApiKey.objects.filter(pk=key.pk).update(**changes)
        with pytest.raises(AuthenticationFailed) as caught:
            ApiKeyAuthentication().authenticate(Request(header(f"Bearer {text}")))
        answers.add((str(caught.value.detail), caught.value.status_code))
    assert len(answers) == 1
    assert ApiKeyAuthentication().authenticate_header(Request(header(None))).startswith("Bearer")


def test_authenticate__right_key__actor_in_auth_and_nobody_in_particular(issued: tuple[ApiKey, str]) -> None:
    authenticated = ApiKeyAuthentication().authenticate(Request(header(f"Bearer {issued[1]}")))
    assert authenticated is not None
    user, actor = authenticated
    assert isinstance(actor, Actor)
    assert (user.is_authenticated, user.is_staff, user.pk) == (True, False, None)


def test_organizations_key__closed_organization__still_its_key(cast: Cast) -> None:
    key, text = issue_key("Theirs", ["consent:read"], organization=cast.labs)
    Organization.objects.filter(pk=cast.labs.pk).update(status="closed")
    assert recognise(text).key == key

"""The random histories detect a key that outlives its person's right (R18): they fail without the rule."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts import authentication
from accounts.models import ApiKey
from consent.services import credentials, webhooks
from tests.consent.core.machine import Portal
from tests.consent.core.machine_keys import KEEPERS, LOSSES, OPERATORS

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]


def lost_and_taken_over(who: int, how: str) -> None:
    """The deep sequence alone, as a history meets it among everything else."""
    portal = Portal()
    try:
        portal.begin(seed=0, personal=False, keys=set(), other="le_chat_free")
        portal.key_outlives_its_person(who=who, how=how, taker=OPERATORS[1], lost_again=True)
        portal.try_key(number=0, n=0)
    finally:
        portal.teardown()


@pytest.mark.parametrize("who", KEEPERS)
@pytest.mark.parametrize("how", LOSSES)
def test_keys__by_the_rules__worth_what_the_model_says(who: int, how: str) -> None:
    lost_and_taken_over(who, how)


# --- Twins ------------------------------------------------------------------------------------------------------------


def suspends_nothing(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(credentials, "suspend_for", lambda *_args, **_named: credentials.Suspended([], []))


def suspends_on_paper(patched: pytest.MonkeyPatch) -> None:
    """Noted and told; but the key is refused only as long as its person has no right, and comes back with them."""
    suspend_for = credentials.suspend_for

    def told(*args: Any, **named: Any) -> credentials.Suspended:
        found = suspend_for(*args, **named)
        ApiKey.objects.filter(pk__in=[key.pk for key in found.keys]).update(suspended_at=None)
        return found

    patched.setattr(credentials, "suspend_for", told)


def old_text_stays_good(patched: pytest.MonkeyPatch) -> None:
    """Whatever was ever given under a prefix is what is stored of it."""

    def digest(text: str) -> str:
        return ApiKey.objects.filter(prefix=text[:12]).values_list("hash", flat=True).first() or ""

    patched.setattr(authentication, "digest", digest)


def old_secret_of_a_webhook_signs_on(patched: pytest.MonkeyPatch) -> None:
    rotate = webhooks._rotate
    patched.setattr(webhooks, "_rotate", lambda held, **_overlap: rotate(held))


TWINS = [suspends_nothing, suspends_on_paper, old_text_stays_good, old_secret_of_a_webhook_signs_on]


@pytest.mark.parametrize("how", ["leaves", "no operator"])
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
def test_keys__without_a_rule__caught(twin: Callable[[pytest.MonkeyPatch], None], how: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        twin(patched)
        with pytest.raises(AssertionError):
            lost_and_taken_over(KEEPERS[0], how)

"""The demo's consumers, which apply what tightens within hours; and the questions that were asked lately."""

import datetime as dt
from collections.abc import Callable, Iterable

from accounts.access import Actor
from accounts.models import ApiKey, KeyScope, Organization

from .. import ledger
from ..models import PEOPLE, AskedCount, Consumer, PrivacySetting, Source
from ..services import consumers, credentials

_DAYS = 30  # days with questions


class DemoConsumers:
    """Two systems: one that builds datasets, within an hour or two, and one that trains, within a day."""

    def __init__(self) -> None:
        self._all: list[Consumer] = []

    def register(self, operator: Actor) -> None:
        register = {
            "dataset-builder": ("Builds the training datasets.", 120, ["chat", "api"]),
            "fine-tuning": ("Trains and fine-tunes models.", 1_200, []),
        }
        self._all = [
            consumers.register(
                name=name, purpose=purpose, contact=f"{name}@demo.example", expected_lag_minutes=lag, datasets=datasets,
                actor=operator, source=Source.ADMIN,
            ).consumer
            for name, (purpose, lag, datasets) in register.items()
        ]  # fmt: skip

    def speak(self, travel: Callable[[dt.datetime], None], now: dt.datetime) -> dt.datetime:
        """Each applies what has happened, after some hours; returns when the last of them has."""
        if not self._all:
            return now
        ledger.sequence()
        head = ledger.head()
        for consumer, base in zip(self._all, (40, 200), strict=True):
            if consumer.datasets.filter(position__lt=head).exists():
                now += dt.timedelta(minutes=base + 23 * (head % 17))
                travel(now)
                consumers.report(consumer=consumer, position=head, actor=Actor.from_key(consumer.key))
        return now


def ask_lately(organizations: Iterable[Organization], operator: Actor, today: dt.date) -> None:
    """Questions of the last days about these organizations, answered as their settings are now."""
    scopes = [KeyScope.DECISIONS_READ]
    key: ApiKey = credentials.issue_key(name="Data gateway", scopes=scopes, actor=operator, source=Source.COMMAND).key
    settings = PrivacySetting.objects.of_organizations().filter(organization__in=organizations, product="le_chat")
    AskedCount.objects.bulk_create(
        AskedCount(
            organization_id=setting.organization_id,
            day=today - dt.timedelta(days=ago),
            asker=asker,
            allowed=setting.allowed,
            reason_code=setting.reason_code,
            questions=number,
        )
        for n, setting in enumerate(settings.order_by("pk"))
        for ago in range(_DAYS)
        for asker, number in ((key.pk, 380 + 41 * ((7 * ago + n) % 9)), (PEOPLE, (ago + n) % 3))
        if number
    )

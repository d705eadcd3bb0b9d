"""Asked and answered: how often an organization was asked about, by whom, and what its own layer answered.

The numbers come from `services.asked`. Filtering files asks no questions, so it is not among them.
"""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings as conf
from django.db.models import Sum
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.models import ApiKey, Organization

from ..models import PEOPLE, AskedCount, ReasonCode
from .privacy_settings import SettingView
from .sentences import day

DAYS = 30


@dataclasses.dataclass(frozen=True)
class Count:
    """How many questions of one asker had one answer. `key`: of the key that asked, if the reader may know it."""

    asker: str
    key: uuid.UUID | None
    allowed: bool
    reason_code: str
    questions: int
    day: dt.date | None = None

    @property
    def reason(self) -> str:
        return str(dict(ReasonCode.choices).get(self.reason_code, self.reason_code))


PEOPLE_ASKED, PROVIDER, KEY = "people", "provider", "key"


@dataclasses.dataclass(frozen=True)
class Summary:
    """The last DAYS days. `standing`: a sentence for each setting, since when it answers as it does."""

    counts: tuple[Count, ...]
    standing: tuple[str, ...]

    @property
    def total(self) -> int:
        return sum(each.questions for each in self.counts)

    @property
    def yes(self) -> int:
        return sum(each.questions for each in self.counts if each.allowed)

    @property
    def no(self) -> int:
        return self.total - self.yes


def summary(organization: Organization, settings: Iterable[SettingView], viewer: Actor) -> Summary:
    until = timezone.now().astimezone(dt.UTC).date()
    counts = counts_of(organization, until - dt.timedelta(days=DAYS - 1), until, viewer)
    return Summary(tuple(counts), tuple(_standing(each) for each in settings if each.since is not None))


def _standing(setting: SettingView) -> str:
    words = {"product": setting.surface.product.label, "date": day(setting.since)}
    if setting.is_in:
        return _("%(product)s: since %(date)s your setting has answered yes.") % words
    return _("%(product)s: since %(date)s your setting has answered no.") % words


def counts_of(
    organization: Organization, since: dt.date, until: dt.date, viewer: Actor, *, by_day: bool = False
) -> list[Count]:
    """The numbers of these days (both included), by asker and answer, the most first; `by_day`: latest day first.

    Which of the provider's keys asked is told to operators alone.
    """
    rows = AskedCount.objects.filter(organization=organization, day__gte=since, day__lte=until)
    by = ("day", "asker", "allowed", "reason_code") if by_day else ("asker", "allowed", "reason_code")
    found = list(rows.order_by().values(*by).annotate(total=Sum("questions")))
    keys = _keys({row["asker"] for row in found} - {PEOPLE}, organization, viewer)
    counts: dict[tuple[Any, ...], Count] = {}
    for row in found:
        asker, key = _asker(row["asker"], keys)
        one = Count(asker, key, row["allowed"], row["reason_code"], row["total"], row.get("day"))
        same = (one.day, one.asker, one.key, one.allowed, one.reason_code)
        earlier = counts[same].questions if same in counts else 0
        counts[same] = dataclasses.replace(one, questions=one.questions + earlier)
    return sorted(counts.values(), key=_order)


def _order(count: Count) -> tuple[Any, ...]:
    latest = -count.day.toordinal() if count.day else 0
    return latest, -count.questions, count.asker, str(count.key), count.reason_code


def _keys(ids: Iterable[uuid.UUID], organization: Organization, viewer: Actor) -> dict[uuid.UUID, ApiKey]:
    """Of these keys those that the reader may know: the organization's own, for operators all."""
    rows = ApiKey.objects.filter(pk__in=list(ids))
    return {key.pk: key for key in (rows if viewer.is_operator else rows.filter(organization=organization))}


def _asker(asker: uuid.UUID, keys: dict[uuid.UUID, ApiKey]) -> tuple[str, uuid.UUID | None]:
    if asker == PEOPLE:
        return PEOPLE_ASKED, None
    return (KEY, asker) if asker in keys else (PROVIDER, None)


def named(counts: Sequence[Count], organization: Organization, viewer: Actor) -> list[tuple[str, Count]]:
    """The counts, each with the name of who asked."""
    keys = _keys({each.key for each in counts if each.key}, organization, viewer)
    return [(_name(each, keys), each) for each in counts]


def _name(count: Count, keys: dict[uuid.UUID, ApiKey]) -> str:
    if count.asker == PEOPLE_ASKED:
        return _("People who are signed in")
    if count.key is not None and count.key in keys:
        return _("API key %(name)s") % {"name": str(keys[count.key])}
    return str(capfirst(conf.PROVIDER_NAME))

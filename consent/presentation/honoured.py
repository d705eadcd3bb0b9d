"""The way of a choice that tightens: saved, delivered to the consumers, honoured by them. One place for all pages.

Organizations and members see how many consumers there are and when, never which: only the operators' site asks for
names. The way is read from the event's own position, so it says nothing of what anybody else chose (R4).
"""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings as conf
from django.db.models import OuterRef, Subquery
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.fields import EPOCH

from ..honour_clock import live_datasets
from ..models import Choice, ConsentEvent, Consumer, ConsumerDataset, EventKind, EventPosition, PositionAdvance
from .effects import Effects

if TYPE_CHECKING:
    from .privacy_settings import SettingView

_OPT_OUTS = frozenset({EventKind.CHOICE_OPTED_OUT, EventKind.CHOICE_CONFIRMED})


@dataclasses.dataclass(frozen=True)
class Reached:
    """How far one consumer has come with an event. `position` is where the slowest of its datasets is now.

    `honoured_at` is when the last of its datasets came past the event, as the consumer says; None: not all have.
    """

    name: str
    position: int
    delivered_at: dt.datetime | None
    honoured_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Way:
    """How far an event has come; `position` None: it was saved a moment ago, and has none yet."""

    number: int
    saved_at: dt.datetime
    position: int | None
    reached: tuple[Reached, ...]

    @property
    def total(self) -> int:
        return len(self.reached)

    @property
    def delivered(self) -> int:
        return sum(each.delivered_at is not None for each in self.reached)

    @property
    def delivered_at(self) -> dt.datetime | None:
        """When the last of those came to be delivered that have been; None without any."""
        return max((each.delivered_at for each in self.reached if each.delivered_at), default=None)

    @property
    def honoured(self) -> int:
        return sum(each.honoured_at is not None for each in self.reached)

    @property
    def honoured_at(self) -> dt.datetime | None:
        """When the last of those said so that have; None without any."""
        return max((each.honoured_at for each in self.reached if each.honoured_at), default=None)

    @property
    def is_honoured(self) -> bool:
        """Whether all consumers say that they have applied it; False without consumers."""
        return 0 < self.total == self.honoured

    @property
    def line(self) -> str:
        return in_one_line(self)

    @property
    def due_at(self) -> dt.datetime:
        return self.saved_at + conf.HONOUR_WITHIN

    @property
    def is_overdue(self) -> bool:
        return self.total > self.honoured and timezone.now() > self.due_at


def is_tightening(event: ConsentEvent, effects: Effects) -> bool:
    """Whether data is not used after the event, and was before; or somebody said that it must not be."""
    if event.kind in _OPT_OUTS and event.choice == Choice.OPTED_OUT:
        return True
    if event.kind == EventKind.SINCE_RESTARTED:
        return event.allowed  # what was collected before it
    return effects.ended(event)


def ways_of(events: Sequence[ConsentEvent], effects: Effects | None = None, *, named: bool = False) -> dict[int, Way]:
    """Event id → its way, for those of the events that tighten; a fixed number of queries."""
    effects = effects or Effects(events)
    tightening = [event for event in events if event.product and is_tightening(event, effects)]
    return ways_of_numbers({event.pk: event.recorded_at for event in tightening}, named=named)


def ways_of_numbers(saved: Mapping[int, dt.datetime], *, named: bool = False) -> dict[int, Way]:
    """As `ways_of`, for events that are known to tighten: id → when it was saved."""
    if not saved:
        return {}
    datasets = live_datasets()
    rows = _with_instants(EventPosition.objects.filter(event__in=saved), datasets)
    placed = {row.event_id: row for row in rows}
    return {
        number: Way(number, at, row.position if row else None, _reached(row, datasets, named))
        for number, at in saved.items()
        for row in [placed.get(number)]
    }


def ways_of_choices(settings: "Iterable[SettingView]") -> dict[str, Way]:
    """Number of a choice → its way, for those settings that somebody opted out of."""
    out = [each for each in settings if each.choice == Choice.OPTED_OUT]
    saved = {int(each.event): each.changed_at for each in out if each.event and each.changed_at}
    return {str(number): way for number, way in ways_of_numbers(saved).items()}


def _with_instants(rows: Any, datasets: Collection[ConsumerDataset]) -> Any:
    """Adds to each position when each consumer was delivered it, and when it was applied in each dataset."""
    if not datasets:
        return rows
    beyond = PositionAdvance.objects.filter(position__gte=OuterRef("position")).order_by("position").values("at")
    found = {f"d{each.pk}": Subquery(beyond.filter(dataset=each.pk)[:1]) for each in datasets}
    for consumer in _consumers(datasets):
        found[f"c{consumer.pk.hex}"] = Subquery(beyond.filter(dataset=None, consumer=consumer.pk)[:1])
    return rows.annotate(**found)


def _consumers(datasets: Iterable[ConsumerDataset]) -> list[Consumer]:
    return list({dataset.consumer_id: dataset.consumer for dataset in datasets}.values())


def _reached(row: Any, datasets: Collection[ConsumerDataset], named: bool) -> tuple[Reached, ...]:
    """Of the consumers that the event counts for; of an event without position, of all there are."""
    found = []
    for consumer in _consumers(datasets):
        own = [each for each in datasets if each.consumer_id == consumer.pk]
        own = [each for each in own if row is None or each.starts_after < row.position]
        if own:
            applied: list[Any] = [getattr(row, f"d{each.pk}", None) for each in own]
            honoured_at = max(applied) if all(applied) else None
            # What a consumer has applied has reached it, whichever way.
            delivered_at = getattr(row, f"c{consumer.pk.hex}", None) or honoured_at
            name = consumer.name if named else ""
            found.append(Reached(name, min(each.position for each in own), delivered_at, honoured_at))
    # Without names also without their order: the first to have applied it first.
    return tuple(sorted(found, key=_by_instant))


def _by_instant(each: Reached) -> tuple[bool, dt.datetime]:
    return each.honoured_at is None, each.honoured_at or each.delivered_at or EPOCH


# --- In words ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the way: `state` is done, begun, late or open; `lines` are details, with their instants."""

    title: str
    words: str
    state: str
    at: dt.datetime | None = None
    lines: tuple[tuple[str, dt.datetime | None], ...] = ()


def steps_of(way: Way) -> list[Step]:
    """The way as steps, for the page of it; the next ones, about training that was before, follow these."""
    saved = Step(_("Saved"), _("Whoever asks gets the new answer from then on."), "done", way.saved_at)
    if not way.total:
        words = _("No system that uses data was registered then, so there was none to deliver it to.")
        return [saved, Step(_("Delivered"), words, "open")]
    return [saved, _delivered(way), _honoured(way)]


def _delivered(way: Way) -> Step:
    state = "done" if way.delivered == way.total else "begun" if way.delivered else "open"
    return Step(_("Delivered"), delivered_words(way), state, way.delivered_at if state == "done" else None)


def _honoured(way: Way) -> Step:
    lines = tuple(_line(each) for each in way.reached if each.honoured_at is not None)
    if way.is_honoured:
        return Step(_("Applied"), honoured_words(way), "done", way.honoured_at, lines)
    state = "late" if way.is_overdue else "begun" if way.honoured else "open"
    return Step(_("Applied"), honoured_words(way), state, None, lines)


def _line(each: Reached) -> tuple[str, dt.datetime | None]:
    words = {"name": each.name, "position": number(each.position)}
    text = _("%(name)s: applied, it says; it is at position %(position)s now") if each.name else ""
    return (text or _("One says it has applied it; it is at position %(position)s now")) % words, each.honoured_at


def delivered_words(way: Way) -> str:
    text = ngettext(
        "To %(done)s of %(total)s system that uses data.", "To %(done)s of %(total)s systems that use data.", way.total
    )
    return text % {"done": number(way.delivered), "total": number(way.total)}


def honoured_words(way: Way) -> str:
    text = ngettext(
        "%(done)s of %(total)s system says that it has applied it.",
        "%(done)s of %(total)s systems say that they have applied it.",
        way.total,
    )
    return text % {"done": number(way.honoured), "total": number(way.total)}


def in_one_line(way: Way) -> str:
    """The way in one line, for cards and histories."""
    if not way.total:
        return _("Saved. No system that uses data was registered then.")
    words = {"delivered": number(way.delivered), "honoured": number(way.honoured), "total": number(way.total)}
    return _("Saved → delivered to %(delivered)s of %(total)s → applied by %(honoured)s of %(total)s") % words


def number(value: int) -> str:
    return formats.number_format(value, use_l10n=True, force_grouping=True)

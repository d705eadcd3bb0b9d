"""Consumers: registering, changing and removing them, and what each says about how far it has applied the ledger.

Only a consumer's own key moves its positions, and only forwards. What its webhook delivered is noted apart.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden, NotFound, Permission, require
from accounts.models import ApiKey, KeyScope

from .. import ledger
from ..errors import Invalid, Refused, Unprocessable
from ..models import Consumer, ConsumerDataset, EventKind, PositionAdvance, WebhookEndpoint
from . import credentials, layers, trail

MOST = 50  # consumers, and datasets of one: each event's way is looked up for each of them
_LONGEST_LAG = 366 * 24 * 60  # minutes
_TEXTS = ("name", "purpose", "contact")
# Called with the locked consumer before anything is changed; raises an error to refuse, e.g. for another version.
Check = Callable[[Consumer], None]


@dataclasses.dataclass(frozen=True)
class Registered:
    """A consumer, and its key's text, which is shown only now."""

    consumer: Consumer
    text: str


def _as_it_is(_consumer: Consumer) -> None:
    """Accept any state."""


def register(
    *,
    name: str,
    purpose: str,
    contact: str,
    expected_lag_minutes: int,
    actor: Actor,
    source: str,
    webhook: WebhookEndpoint | None = None,
    datasets: Iterable[str] = (),
) -> Registered:
    """Register a consumer, with a key of its own; it counts for events from now on.

    Without `datasets` it has a single one, without a name. Raises Forbidden (also for API keys), Invalid,
    ConfirmationRequired; Refused if there are MOST already.
    """
    require(actor, Permission.CONSUMERS_MANAGE, None)
    given = {"name": name, "purpose": purpose, "contact": contact, "expected_lag_minutes": expected_lag_minutes}
    values = _checked(**given, webhook=webhook)
    names = _checked_datasets(datasets)
    # Events that are pending happened before: they get positions that this consumer starts after.
    ledger.sequence()
    with transaction.atomic():
        if Consumer.objects.live().count() >= MOST:
            raise Refused("too_many", _("There are %s consumers already; remove one first.") % MOST)
        _refuse_taken(values["name"])
        issued = _issue_key(values["name"], actor, source)
        head = ledger.head()
        consumer = Consumer.objects.create(
            **values, key=issued.key, starts_after=head, registered_at=ledger.clock(), registered_by=actor.person
        )
        _add_datasets(consumer, names, head)
        trail.note(EventKind.CONSUMER_REGISTERED, organization=None, actor=actor, source=source, target=consumer.pk)
    return Registered(consumer, issued.text or "")


def change(*, consumer: Consumer, actor: Actor, source: str, expected: Check = _as_it_is, **changes: Any) -> Consumer:
    """Change `name`, `purpose`, `contact`, `expected_lag_minutes`, `webhook`, `datasets` (the names of all).

    A dataset that is added counts for events from now on; one that is left out no longer counts. The same values
    change nothing. Raises Forbidden, NotFound, Invalid.
    """
    require(actor, Permission.CONSUMERS_MANAGE, None)
    with transaction.atomic():
        held = _locked(consumer)
        expected(held)
        wanted = {name: value for name, value in changes.items() if name != "datasets"}
        values = _checked(**wanted)
        changed = [name for name, value in values.items() if getattr(held, name) != value]
        if "name" in changed:
            _refuse_taken(values["name"])
        for name in changed:
            setattr(held, name, values[name])
        if "datasets" in changes and _replace_datasets(held, _checked_datasets(changes["datasets"])):
            changed.append("datasets")
        if changed:
            held.save()
            after = ", ".join(changed)
            trail.note(
                EventKind.CONSUMER_CHANGED, organization=None, actor=actor, source=source, target=held.pk, after=after
            )
    return held


def renew_key(*, consumer: Consumer, actor: Actor, source: str) -> Registered:
    """Give the consumer another key; the old one is revoked. Raises as `register` does, and NotFound."""
    require(actor, Permission.CONSUMERS_MANAGE, None)
    with transaction.atomic():
        held = _locked(consumer)
        old, issued = held.key, _issue_key(held.name, actor, source)
        held.key = issued.key
        held.save(update_fields=["key"])
        credentials.revoke_key(key=old, actor=actor, source=source)
        trail.note(
            EventKind.CONSUMER_CHANGED, organization=None, actor=actor, source=source, target=held.pk, after="key"
        )
    return Registered(held, issued.text or "")


def remove(*, consumer: Consumer, actor: Actor, source: str, reason: str) -> Consumer:
    """Remove a consumer: nothing waits for it any more, and its key is revoked. Raises Forbidden, NotFound, Invalid."""
    require(actor, Permission.CONSUMERS_MANAGE, None)
    why = layers.clean_text(reason, "reason", required=True)
    with transaction.atomic():
        held = _locked(consumer)
        held.removed_at, held.overdue_since = ledger.clock(held.registered_at), None
        held.save(update_fields=["removed_at", "overdue_since"])
        credentials.revoke_key(key=held.key, actor=actor, source=source)
        trail.note(
            EventKind.CONSUMER_REMOVED, organization=None, actor=actor, source=source, target=held.pk, reason=why
        )
    return held


def _issue_key(name: str, actor: Actor, source: str) -> credentials.Issued:
    return credentials.issue_key(name=name, scopes=[KeyScope.CONSUMER_WRITE], actor=actor, source=source)


def _locked(consumer: Consumer) -> Consumer:
    """The consumer, locked. Raises NotFound if it has been removed."""
    rows = Consumer.objects.live().select_for_update(of=("self",), no_key=True).select_related("key", "webhook")
    held = rows.filter(pk=consumer.pk).first()
    if held is None:
        raise NotFound("consumer")
    return held


# --- Checking ---------------------------------------------------------------------------------------------------------


def _checked(**given: Any) -> dict[str, Any]:
    values = dict(given)
    for name in _TEXTS:
        if name in values:
            length = Consumer._meta.get_field(name).max_length or 0  # type: ignore[union-attr]
            values[name] = layers.clean_text(values[name], name, required=True, length=length)
    lag = values.get("expected_lag_minutes", 0)
    if not 0 <= lag <= _LONGEST_LAG:
        text = _("Give a number of minutes from 0 to %s.") % _LONGEST_LAG
        raise Invalid("out_of_range", text, "expected_lag_minutes")
    if (webhook := values.get("webhook")) is not None:
        _check_webhook(webhook)
    return values


def _refuse_taken(name: str) -> None:
    """Two at the same time meet a constraint of the database instead."""
    if Consumer.objects.live().filter(name=name).exists():
        raise Invalid("taken", _("Another consumer has this name."), "name")


def _check_webhook(webhook: WebhookEndpoint) -> None:
    if webhook.organization_id is not None:
        raise Invalid("webhook", _("A consumer's webhook is one of the provider's, for all organizations."), "webhook")
    if webhook.kinds:
        text = _(
            "This webhook gets some kinds of events only; a consumer's gets everything about how data may be used."
        )
        raise Invalid("webhook", text, "webhook")


def _checked_datasets(names: Iterable[str]) -> list[str]:
    length = ConsumerDataset._meta.get_field("name").max_length or 0
    found = [layers.clean_text(name, "datasets", required=True, length=length) for name in names]
    if len(set(found)) < len(found):
        raise Invalid("repeated", _("Name each dataset once."), "datasets")
    if len(found) > MOST:
        raise Invalid("too_many", _("A consumer has at most %s datasets.") % MOST, "datasets")
    return found or [""]


def _add_datasets(consumer: Consumer, names: Iterable[str], head: int) -> None:
    for name in names:
        ConsumerDataset.objects.create(consumer=consumer, name=name, starts_after=head)


def _replace_datasets(held: Consumer, names: Sequence[str]) -> bool:
    live = {dataset.name: dataset for dataset in held.datasets.filter(removed_at=None)}
    gone = [dataset.pk for name, dataset in live.items() if name not in names]
    fresh = [name for name in names if name not in live]
    if gone:
        held.datasets.filter(pk__in=gone).update(removed_at=ledger.clock())
    _add_datasets(held, fresh, ledger.head())
    return bool(gone or fresh)


# --- What consumers say, and what was delivered -----------------------------------------------------------------------


def report(*, consumer: Consumer, position: int, actor: Actor, dataset: str | None = None) -> Consumer:
    """The consumer says that it has applied the ledger up to `position`, in one dataset, or (None) in all of its.

    The position it is at already changes nothing. Raises Forbidden for everybody but the consumer's own key; NotFound;
    Refused for a lower position, Unprocessable for one beyond the head, Invalid for an unknown dataset.
    """
    require(actor, Permission.CONSUMER_REPORT, None)
    if not _is_own_key(actor.key, consumer):
        raise Forbidden(Permission.CONSUMER_REPORT, _("Only the consumer itself may say this, by its own key."))
    with transaction.atomic():
        held = _locked(consumer)
        datasets = _meant(held, dataset)
        if position > (head := ledger.head()):
            text = _("The ledger ends at position %s: nobody can have applied more.") % head
            raise Unprocessable("beyond_head", text, "position")
        if ahead := [each for each in datasets if each.position > position]:
            words = {"position": ahead[0].position, "dataset": str(ahead[0])}
            text = _("“%(dataset)s” has said position %(position)s already: a position never goes back.") % words
            raise Refused("backwards", text, "position")
        _advance(held, [each for each in datasets if each.position < position], position)
    return held


def _is_own_key(key: ApiKey | None, consumer: Consumer) -> bool:
    return key is not None and key.pk == consumer.key_id


def _meant(held: Consumer, name: str | None) -> list[ConsumerDataset]:
    live = held.datasets.filter(removed_at=None)
    found = list(live if name is None else live.filter(name=name))
    if not found:
        raise Invalid("unknown_dataset", _("This consumer has no dataset “%s”.") % name, "dataset")
    return found


def _advance(held: Consumer, datasets: Sequence[ConsumerDataset], position: int) -> None:
    if not datasets:
        return
    now = ledger.clock(*(dataset.said_at for dataset in datasets))
    held.datasets.filter(pk__in=[each.pk for each in datasets]).update(position=position, said_at=now)
    PositionAdvance.objects.bulk_create(
        PositionAdvance(consumer=held, dataset=each, position=position, at=now) for each in datasets
    )


def note_delivered(endpoint: WebhookEndpoint, position: int) -> None:
    """Note that the webhook has delivered everything up to `position`, if it is a consumer's.

    Call it in the transaction that stores the webhook's position. A webhook that gets some kinds of events only has not
    delivered what it passed over.
    """
    if endpoint.organization_id is not None or endpoint.kinds:
        return
    for consumer in Consumer.objects.live().filter(webhook=endpoint, delivered__lt=position):
        # Not moved back by a replay.
        if Consumer.objects.filter(pk=consumer.pk, delivered__lt=position).update(delivered=position):
            PositionAdvance.objects.create(consumer=consumer, position=position, at=ledger.clock())

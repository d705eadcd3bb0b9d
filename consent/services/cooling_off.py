"""How many days data of a product has to be old before it is used: changing them, which is an event each time.

Whoever opts out within these days was never trained on what they said in them. More days allow nothing new, so one
operator may set them; fewer need a second one, by `operator_requests` (R19).
"""

import dataclasses
import datetime as dt

from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts.access import Act, Actor
from accounts.catalogue import Product

from ..errors import Invalid, Refused
from ..models import MAX_DAYS, CoolingOff, EventKind
from . import layers, people, trail

# One change at a time, in this database: any number that nobody else uses as an advisory lock.
_LOCK = 7_236_841_509_222


@dataclasses.dataclass(frozen=True)
class Change:
    """A product's days, from `before` to `after`."""

    product: Product
    before: int
    after: int

    @property
    def shortens(self) -> bool:
        return self.after < self.before


def change_to(product: str, days: int) -> Change:
    """The change that these days would be, as things stand. Raises Invalid for an unknown product or such days."""
    if product not in Product.values:
        raise Invalid("unknown_product", _("There is no product “%(value)s”.") % {"value": product}, "product")
    if not 0 <= days <= MAX_DAYS:
        raise Invalid("invalid", _("Give a number of days from 0 to %(most)s.") % {"most": MAX_DAYS}, "days")
    return Change(Product(product), CoolingOff.objects.in_force()[product], days)


@transaction.atomic
def lengthen(*, product: str, days: int, actor: Actor, source: str, reason: str = "") -> CoolingOff | None:
    """Let data of a product be used only when it is so many days old, at once; the same days again write nothing.

    Raises Forbidden unless the actor is an operator in person; Invalid; Refused for fewer days than now, which take a
    second operator; ConfirmationRequired.
    """
    people.in_person(actor)
    reason = layers.clean_text(reason, "reason")
    _lock()
    wanted = change_to(product, days)
    if wanted.shortens:
        text = _("Fewer days let data be used earlier: another operator has to confirm that.")
        raise Refused("second_person", text, "days")
    layers.require_confirmed(actor, Act.COOLING_OFF)
    return _write(wanted, actor, source, reason) if wanted.after != wanted.before else None


def shorten(wanted: Change, *, actor: Actor, source: str, reason: str) -> CoolingOff:
    """Carry out what two operators agreed on, in the transaction of their request.

    The caller must have checked both. Raises Refused if the days are no longer what they were when it was asked.
    """
    _lock()
    if change_to(wanted.product, wanted.after) != wanted:
        raise Refused("changed_since", _("The cooling-off period was changed since this was asked. Ask again."))
    return _write(wanted, actor, source, reason)


def _lock() -> None:
    """Hold off other changes until the transaction ends, so that none is judged by days that are no longer in force."""
    if connection.vendor == "postgresql":  # on SQLite every transaction that writes does that
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _write(wanted: Change, actor: Actor, source: str, reason: str) -> CoolingOff:
    event = trail.note(
        EventKind.COOLING_OFF_CHANGED,
        organization=None,
        actor=actor,
        source=source,
        target=wanted.product.value,
        before=str(wanted.before),
        after=str(wanted.after),
        reason=reason,
        later_than=_last_change(wanted.product),
    )
    return CoolingOff.objects.create(product=wanted.product, since=event.recorded_at, days=wanted.after, event=event)


def _last_change(product: Product) -> dt.datetime | None:
    of_product = CoolingOff.objects.filter(product=product).order_by("-since")
    return of_product.values_list("since", flat=True).first()

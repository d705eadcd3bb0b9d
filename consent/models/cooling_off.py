"""How old data of a product has to be before it is used: a dated sequence, so that past instants answer right."""

import datetime as dt
from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product
from accounts.fields import InstantField, one_of

from .ledger import ConsentEvent

# Longer than any provider waits, and short enough that no instant of a question overflows.
MAX_DAYS = 3_650


class CoolingOffQuerySet(models.QuerySet["CoolingOff"]):
    def in_force(self, at: dt.datetime | None = None) -> dict[str, int]:
        """Product → days that apply at an instant (None: now); 0 where nobody has set any. One query."""
        rows = self if at is None else self.filter(since__lte=at)
        changes = dict(rows.order_by("since").values_list("product", "days"))
        return {product: changes.get(product, 0) for product in Product.values}

    # The triggers refuse these too; this gives an error that says why.
    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the history of cooling-off is append-only")

    update = delete = bulk_update = update_or_create = get_or_create = _refuse


class CoolingOff(models.Model):
    """One change: these days apply from `since` until the product's next row. Without a row there are none.

    Only `services.cooling_off` adds rows, each with its event; no row is ever changed or deleted.
    """

    product = models.CharField(_("product"), max_length=20, choices=Product.choices)
    since = InstantField(_("since"))
    days = models.PositiveSmallIntegerField(_("days"))
    event = models.OneToOneField(ConsentEvent, models.DO_NOTHING, db_constraint=False, related_name="+")

    objects = CoolingOffQuerySet.as_manager()

    class Meta:
        verbose_name = _("cooling-off")
        verbose_name_plural = _("cooling-off")
        ordering = ["product", "since"]
        constraints = [
            # The index by which `lookup_sql` finds the days in force at an instant.
            models.UniqueConstraint(fields=["product", "since"], name="cooling_off_instant_of_product"),
            one_of("product", Product, "cooling_off_product_known"),
            models.CheckConstraint(condition=Q(days__lte=MAX_DAYS), name="cooling_off_days_within_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.product}: {self.days} days"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("the history of cooling-off is append-only: a row is never changed")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the history of cooling-off is append-only: a row is never deleted")

"""Restores that were adopted: each began an epoch of the ledger's positions."""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from accounts.fields import InstantField

from .ledger import ConsentEvent


class RestoreQuerySet(models.QuerySet["Restore"]):
    def epoch(self) -> int:
        """The epoch that positions are given in now: 1 until a restore was adopted."""
        return self.aggregate(last=Max("epoch"))["last"] or 1


class Restore(models.Model):
    """A database that was restored to an earlier moment and adopted, and what was lost by that.

    Positions after `restored_to`, up to `lost_to`, were given to other events in the epoch before; in this one they are
    `position.lost`. Rows are added, and never changed or deleted: triggers refuse it.
    """

    epoch = models.PositiveIntegerField(_("epoch"), primary_key=True)  # the one that began: 2 or more
    restored_to = models.BigIntegerField(_("last position in common"))
    lost_to = models.BigIntegerField(_("last position lost"))
    adopted_at = InstantField(_("adopted"))
    event = models.OneToOneField(ConsentEvent, models.DO_NOTHING, db_constraint=False, related_name="+")

    objects = RestoreQuerySet.as_manager()

    class Meta:
        verbose_name = _("restore")
        verbose_name_plural = _("restores")
        ordering = ["epoch"]
        constraints = [
            models.CheckConstraint(condition=models.Q(epoch__gte=2), name="restore_epoch_from_two"),
            models.CheckConstraint(
                condition=models.Q(restored_to__gte=0, lost_to__gte=models.F("restored_to")),
                name="restore_positions_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"epoch {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("restores are only added to")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("restores are never deleted")

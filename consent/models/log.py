"""The transparency log: the salts of its leaves, its full tiles, and its signed checkpoints: see docs/proofs.md.

Rows are added, and never changed: triggers refuse it, as they do for the ledger, but for one thing. A salt may be
erased while what the log itself holds at its place stays.
"""

from typing import Any, NoReturn, TypeVar

from django.db import models
from django.db.models import Q

from accounts.fields import InstantField

DIGEST = 64  # hexadecimal digits of a SHA-256

_Model_co = TypeVar("_Model_co", bound=models.Model, covariant=True)


class _Rows(models.QuerySet[_Model_co]):
    # The triggers refuse these too; this gives an error that says why.
    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the log is only added to")

    update = delete = bulk_update = update_or_create = _refuse


class _Added(models.Model):
    """A row that stays as it was added."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("the log is only added to")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the log is only added to")


class EventSalt(_Added):
    """What blinds the leaf of the event at `position`, and the digests that stand in its body for words and operators.

    Each salt is 32 random bytes, or empty where there is nothing to blind: `words_salt` is that of reason and
    reference, `actor_salt` of an operator's id. The digests are kept beside, so that the body could be rebuilt without
    the words.

    Where the salt was erased, salts and digests are empty, and `entry` is what the log holds there: nobody can show any
    more what that says.
    """

    position = models.BigIntegerField(primary_key=True)
    # Which columns of the event the body has: `consent.log.events` lists them.
    version = models.SmallIntegerField(default=1)
    salt = models.BinaryField()
    words_salt = models.BinaryField(default=b"", blank=True)
    actor_salt = models.BinaryField(default=b"", blank=True)
    reason_digest = models.CharField(max_length=DIGEST, blank=True, default="")
    reference_digest = models.CharField(max_length=DIGEST, blank=True, default="")
    actor_digest = models.CharField(max_length=DIGEST, blank=True, default="")
    entry = models.BinaryField(default=b"", blank=True)

    objects = _Rows["EventSalt"].as_manager()

    def __str__(self) -> str:
        return f"salt of position {self.pk}"


class LogTile(_Added):
    """256 hashes of the tree, side by side, on level 8 × `level`; `root` is the hash above all of them.

    Only full tiles are stored. What is not in one yet follows from the roots of the tiles below, and on level 0 from
    the last events and salts.
    """

    pk = models.CompositePrimaryKey("level", "index")
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()  # 256 × 32 bytes
    root = models.BinaryField()

    objects = _Rows["LogTile"].as_manager()

    class Meta:
        ordering = ["level", "index"]

    def __str__(self) -> str:
        return f"tile {self.level}/{self.index}"


class LogOrigin(models.Model):
    """A name under which this ledger's log is signed: `number` is the epoch in which it begins.

    Epochs are never used twice, so no name is either. The highest one is the current one, and those before it have
    ended: nothing is signed under them any more. While it is paused, nothing is signed: another copy of the
    installation, under the same key, might sign as well.
    """

    number = models.SmallIntegerField(primary_key=True)
    name = models.CharField(max_length=300)
    paused = models.BooleanField(default=False)
    begun_at = InstantField()

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return self.name


class LogCheckpoint(_Added):
    """The signed note that says which root the tree has at `size` leaves.

    There is one tree, and each size is signed under one origin at most: a later one goes on where the one before ended.
    """

    size = models.BigIntegerField(primary_key=True)
    origin = models.ForeignKey(LogOrigin, on_delete=models.PROTECT, related_name="checkpoints")
    root = models.BinaryField()
    # Byte for byte as it was signed.
    note = models.TextField()
    signed_at = InstantField()

    objects = _Rows["LogCheckpoint"].as_manager()

    class Meta:
        ordering = ["size"]
        constraints = [models.CheckConstraint(condition=Q(size__gt=0), name="log_checkpoint_of_leaves")]

    def __str__(self) -> str:
        return f"checkpoint of {self.size} leaves"

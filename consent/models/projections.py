"""Projections of the ledger: the cursor of each follower, sums per day, and results of verification."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import InstantField


class FollowerCursor(models.Model):
    """The last position that a follower has processed; moved in the same transaction as its work."""

    name = models.CharField(max_length=20, primary_key=True)
    position = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} at {self.position}"


class DailyStanding(models.Model):
    """By how many the layers with these values increased (or decreased) on a day; the sum up to a day is their number.

    `plan` is '' for members, whose layer has none.
    """

    day = models.DateField()
    surface = models.CharField(max_length=40)
    plan = models.CharField(max_length=40, blank=True, default="")
    reason_code = models.CharField(max_length=30)
    allowed = models.BooleanField()
    # Negative if more layers left this state than came into it.
    change = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["day", "surface", "plan", "reason_code", "allowed"], name="daily_standing_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.surface} {self.plan} {self.reason_code}: {self.change:+}"


class DailyChanges(models.Model):
    """How many choices were made on a day, by source."""

    day = models.DateField()
    source = models.CharField(max_length=20)
    choices = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "source"], name="daily_changes_once")]

    def __str__(self) -> str:
        return f"{self.day} {self.source}: {self.choices}"


class DailyWording(models.Model):
    """How many choices of a kind ("opted_in", "opted_out") were made on a day, in view of these words.

    `wording` and `language` are those of the events: "not_stated" and '' where nobody said. Choices for which there
    were no words (jobs, imports) are not counted here.
    """

    day = models.DateField()
    surface = models.CharField(max_length=40)
    wording = models.CharField(max_length=40)
    language = models.CharField(max_length=16, blank=True, default="")
    choice = models.CharField(max_length=20)
    choices = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["day", "surface", "wording", "language", "choice"], name="daily_wording_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.wording} {self.language} {self.choice}: {self.choices}"


class Verification(models.Model):
    """The result of a run of verify_ledger: the last position at that time, and how many problems it found."""

    at = InstantField(_("when"))
    head = models.BigIntegerField(_("head"))
    problems = models.PositiveIntegerField(_("problems"))

    class Meta:
        verbose_name = _("verification")
        verbose_name_plural = _("verifications")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {self.problems}"


class Backup(models.Model):
    """A copy of the database that was made: what it contains, and how large it is (None: made by other means)."""

    at = InstantField(_("when"))
    head = models.BigIntegerField(_("head"))
    size = models.BigIntegerField(_("size"), null=True)  # bytes

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {self.head}"

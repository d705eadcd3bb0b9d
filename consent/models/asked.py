"""How often each organization was asked about, by whom, and what its own layer answered."""

import uuid

from django.db import models

from accounts.models import Organization

# In place of a key's id: people who are signed in.
PEOPLE = uuid.UUID(int=0)


class AskedCount(models.Model):
    """Questions of one day about an organization by one asker that its own layer answered alike.

    The answer is that of the organization's layer alone: with members' answers in it, an organization could read from
    the numbers what a member chose (R4).
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    day = models.DateField()
    # The id of the key that asked, or PEOPLE.
    asker = models.UUIDField()
    allowed = models.BooleanField()
    reason_code = models.CharField(max_length=30)
    questions = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "asker", "allowed", "reason_code"], name="asked_count_once"
            )
        ]
        indexes = [models.Index(fields=["day"], name="asked_count_age")]

    def __str__(self) -> str:
        return f"{self.organization_id}, {self.day}: {self.questions}"

"""What people have switched off, and what they have seen of what the provider did."""

from django.db import models

from accounts.models import Member, Organization, User

from .ledger import ConsentEvent


class NoticeOff(models.Model):
    """A kind of e-mail that a person has switched off; see `consent.notices`."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+", db_index=False)
    notice = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "notice"], name="notice_off_once")]

    def __str__(self) -> str:
        return f"{self.notice} of {self.user_id}"


class ProviderAct(models.Model):
    """An act of the provider, which the organization's people are shown until they have seen it: a projection."""

    position = models.BigIntegerField(primary_key=True)
    event = models.ForeignKey(ConsentEvent, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    organization = models.ForeignKey(
        Organization, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        ordering = ["-position"]
        indexes = [models.Index(fields=["organization", "-position"], name="provider_act_of_organization")]

    def __str__(self) -> str:
        return f"act at {self.position}"


class ActsSeen(models.Model):
    """Up to which position a member has seen the provider's acts; without a row they have seen none."""

    member = models.OneToOneField(Member, models.CASCADE, primary_key=True, related_name="+")
    position = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.member_id} at {self.position}"


class MembersToTell(models.Model):
    """An event after which members' data is used, and how far the worker has come in telling them, by member id."""

    event = models.OneToOneField(
        ConsentEvent, models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+"
    )
    cursor = models.UUIDField(null=True)

    def __str__(self) -> str:
        return f"event {self.event_id} up to member {self.cursor}"

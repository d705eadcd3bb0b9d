"""What the API takes and shows, field by field; no rules in here."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts.catalogue import Product
from accounts.models import Member, Organization

from .. import feed
from ..models import ConsentEvent, EventKind
from ..rules import Choice
from ..surfaces import DATA_KINDS, MEMBER_SURFACES, SURFACES
from .fields import Email, Input, Instant, MapOf, OneOf, Text

APP_SOURCES = sorted({source for surface in MEMBER_SURFACES for source in surface.sources})


# --- Shown ----------------------------------------------------------------------------------------------------------


class ProductOutput(serializers.Serializer[Any]):
    key = serializers.CharField(source="value")
    name = serializers.CharField(source="label")
    data_kinds = serializers.SerializerMethodField()

    def get_data_kinds(self, product: Product) -> list[str]:
        return list(DATA_KINDS[product])


class PlanOutput(serializers.Serializer[Any]):
    key = serializers.CharField()
    product = serializers.CharField()
    name = serializers.CharField()
    training_default = serializers.CharField()


class SurfaceOutput(serializers.Serializer[Any]):
    key = serializers.CharField()
    product = serializers.CharField()
    scope = serializers.CharField()
    path = serializers.ListField(child=serializers.CharField())
    label = serializers.CharField()  # type: ignore[assignment]
    covers = serializers.CharField()


class OrganizationOutput(serializers.Serializer[Any]):
    """`subscriptions` needs the live ones prefetched as `live`."""

    id = serializers.CharField()
    external_id = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    kind = serializers.CharField()
    country = serializers.SerializerMethodField()
    status = serializers.CharField()
    subscriptions = serializers.SerializerMethodField()
    created_at = Instant()

    def get_country(self, organization: Organization) -> str | None:
        return organization.country or None

    def get_subscriptions(self, organization: Any) -> dict[str, str | None]:
        held = {subscription.product: subscription.plan_id for subscription in organization.live}
        return {product: held.get(product) for product in Product.values}


class MemberOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    external_id = serializers.CharField(allow_null=True)
    email = serializers.CharField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.CharField()
    status = serializers.CharField()


class InvitationOutput(serializers.Serializer[Any]):
    """What was typed, and until when it is good: nothing about whoever has the address."""

    id = serializers.CharField()
    email = serializers.CharField()
    role = serializers.CharField()
    expires_at = Instant()


class SettingOutput(serializers.Serializer[Any]):
    """A `shown.ShownSetting`."""

    surface = serializers.CharField(source="surface.key")
    product = serializers.CharField(source="surface.product")
    label = serializers.CharField(source="surface.label")  # type: ignore[assignment]
    choice = serializers.CharField()
    effective = serializers.CharField()
    reason = serializers.CharField(source="reason_code")
    since = Instant(allow_null=True)
    locked = serializers.BooleanField()
    lock_reason = serializers.CharField(allow_null=True)
    carried_from = serializers.CharField(allow_null=True)
    members_opted_out = serializers.IntegerField(allow_null=True)
    changed_at = Instant(allow_null=True)
    changed_by = serializers.CharField(allow_null=True)
    event = serializers.CharField(allow_null=True)


class EventOutput(serializers.Serializer[Any]):
    """A placed event; the context's `labels` name the actors. `allowed` is null where no layer was touched."""

    id = serializers.CharField()
    position = serializers.IntegerField(source="placed.position")
    recorded_at = Instant()
    kind = serializers.CharField()
    organization = serializers.CharField(source="organization_id", allow_null=True)
    member = serializers.CharField(source="member_id", allow_null=True)
    product = serializers.CharField(allow_null=True)
    surface = serializers.CharField(allow_null=True)
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True)
    target = serializers.CharField(allow_null=True)
    allowed = serializers.BooleanField(allow_null=True)
    actor = serializers.DictField(child=serializers.CharField(allow_null=True))
    source = serializers.CharField()  # type: ignore[assignment]
    reason = serializers.CharField()
    request_id = serializers.CharField()

    def to_representation(self, event: ConsentEvent) -> dict[str, Any]:
        return feed.told(event, self.context["labels"][event.pk], for_operator=self.context["for_operator"])


class EventKindOutput(serializers.Serializer[Any]):
    kind = serializers.CharField()
    label = serializers.CharField(help_text=_("What happened, in words."))  # type: ignore[assignment]
    before = serializers.CharField(allow_null=True, help_text=_("What the event's “before” holds; null: nothing."))
    after = serializers.CharField(allow_null=True, help_text=_("What the event's “after” holds; null: nothing."))
    target = serializers.CharField(allow_null=True, help_text=_("What the event's “target” holds; null: nothing."))
    operators_only = serializers.BooleanField(help_text=_("No organization is told of such events."))
    example = serializers.DictField(help_text=_("What a webhook sends of such an event."))


# --- Taken ----------------------------------------------------------------------------------------------------------


class OwnerInput(Input):
    email = Email()
    name = Text(allow_blank=True, max_length=200)


class OrganizationInput(Input):
    name = Text()
    kind = OneOf(choices=Organization.Kind.values)
    external_id = Text(required=False, allow_null=True)
    country = Text(required=False, allow_null=True, allow_blank=True)
    subscriptions = MapOf(child=Text(allow_null=True), required=False)
    owner = OwnerInput(required=False)


class OrganizationChange(Input):
    name = Text(required=False)
    kind = OneOf(choices=Organization.Kind.values, required=False)
    external_id = Text(required=False, allow_null=True)
    country = Text(required=False, allow_null=True, allow_blank=True)
    status = OneOf(choices=Organization.Status.values, required=False)
    reason = Text(required=False, allow_blank=True)


class OrganizationQuery(Input):
    plan = Text(required=False)
    kind = OneOf(choices=Organization.Kind.values, required=False)
    status = OneOf(choices=Organization.Status.values, required=False)
    external_id = Text(required=False)
    search = Text(required=False)


class SubscriptionInput(Input):
    plan = Text()
    reason = Text(required=False, allow_blank=True)


class ReasonInput(Input):
    reason = Text(required=False, allow_blank=True)


class WithdrawalInput(Input):
    reason = Text()


class LockInput(Input):
    reason = Text()
    reference = Text()


class LiftInput(Input):
    reason = Text()


class MemberInput(Input):
    """Somebody who is invited gives their own name when they join."""

    email = Email()
    name = Text(required=False, allow_blank=True, max_length=200)
    role = OneOf(choices=Member.Role.values)
    external_id = Text(required=False, allow_null=True)


class MemberChange(Input):
    role = OneOf(choices=Member.Role.values, required=False)
    external_id = Text(required=False, allow_null=True)


class ChoiceInput(Input):
    choice = OneOf(choices=[Choice.OPTED_OUT.value, Choice.OPTED_IN.value])
    reason = Text(required=False, allow_blank=True)


class MemberChoiceInput(ChoiceInput):
    source = OneOf(choices=APP_SOURCES, required=False)  # type: ignore[assignment]


# "access.*": all kinds that begin so.
KIND_FAMILIES = sorted({f"{kind.partition('.')[0]}.*" for kind in EventKind.values})


class EventQuery(Input):
    kind = OneOf(choices=[*EventKind.values, *KIND_FAMILIES], required=False)
    product = OneOf(choices=Product.values, required=False)
    surface = OneOf(choices=list(SURFACES), required=False)
    member = Text(required=False)
    actor = Text(required=False)
    since = Instant(required=False)
    until = Instant(required=False)

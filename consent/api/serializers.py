"""What the API takes and shows, field by field; no rules in here."""

from typing import Any

from rest_framework import serializers

from accounts.catalogue import Product
from accounts.models import Member, Organization

from ..models import ConsentEvent, EventKind
from ..rules import Choice
from ..surfaces import DATA_KINDS, MEMBER_SURFACES, SURFACES
from .fields import Email, Input, Instant, OneOf, Text

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
    external_id = serializers.CharField()
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
    external_id = serializers.CharField()
    email = serializers.CharField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.CharField()
    status = serializers.CharField()


class SettingOutput(serializers.Serializer[Any]):
    """A `shown.ShownSetting`."""

    surface = serializers.CharField(source="surface.key")
    product = serializers.CharField(source="surface.product")
    label = serializers.CharField(source="surface.label")  # type: ignore[assignment]
    choice = serializers.CharField()
    effective = serializers.CharField()
    reason = serializers.CharField(source="reason_code")
    since = Instant()
    locked = serializers.BooleanField()
    lock_reason = serializers.CharField()
    carried_from = serializers.CharField()
    members_opted_out = serializers.IntegerField()
    changed_at = Instant()
    changed_by = serializers.CharField()
    event = serializers.CharField()


class EventOutput(serializers.Serializer[Any]):
    """A placed event; the context's `labels` name the actors. `allowed` is null where no layer was touched."""

    id = serializers.CharField()
    position = serializers.IntegerField(source="placed.position")
    recorded_at = Instant()
    kind = serializers.CharField()
    organization = serializers.CharField(source="organization_id")
    member = serializers.CharField(source="member_id")
    product = serializers.SerializerMethodField()
    surface = serializers.SerializerMethodField()
    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()
    allowed = serializers.SerializerMethodField()
    actor = serializers.SerializerMethodField()
    source = serializers.CharField()  # type: ignore[assignment]
    reason = serializers.CharField()
    request_id = serializers.CharField()

    def get_product(self, event: ConsentEvent) -> str | None:
        return event.product or None

    def get_surface(self, event: ConsentEvent) -> str | None:
        return event.surface or None

    def get_before(self, event: ConsentEvent) -> str | None:
        return event.before or None

    def get_after(self, event: ConsentEvent) -> str | None:
        return event.after or None

    def get_allowed(self, event: ConsentEvent) -> bool | None:
        return event.allowed if event.reason_code else None

    def get_actor(self, event: ConsentEvent) -> dict[str, str | None]:
        # Which of the provider's people or keys it was is not for organizations to follow from tenant to tenant.
        hidden = event.by_operator and not self.context["for_operator"]
        actor_id = None if hidden else event.actor_id or None
        return {"type": event.actor_type, "id": actor_id, "label": self.context["labels"][event.pk]}


# --- Taken ----------------------------------------------------------------------------------------------------------


class OwnerInput(Input):
    email = Email()
    name = Text(allow_blank=True, max_length=200)


class OrganizationInput(Input):
    name = Text()
    kind = OneOf(choices=Organization.Kind.values)
    external_id = Text(required=False, allow_null=True)
    country = Text(required=False, allow_null=True, allow_blank=True)
    subscriptions = serializers.DictField(child=Text(allow_null=True), required=False)
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


class LockInput(Input):
    reason = Text()
    reference = Text()


class LiftInput(Input):
    reason = Text()


class MemberInput(Input):
    email = Email()
    name = Text(allow_blank=True, max_length=200)
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


class EventQuery(Input):
    kind = OneOf(choices=EventKind.values, required=False)
    product = OneOf(choices=Product.values, required=False)
    surface = OneOf(choices=list(SURFACES), required=False)
    member = Text(required=False)
    actor = Text(required=False)
    since = Instant(required=False)
    until = Instant(required=False)

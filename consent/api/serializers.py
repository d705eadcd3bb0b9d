"""Input and output of the API; help texts are for readers of the OpenAPI description. The rules are in the services."""

from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts import email_addresses, external_ids
from accounts.catalogue import Product
from accounts.characters import Unusable
from accounts.external_ids import LENGTH
from accounts.models import Member, Organization, Plan, User

from ..models import MAX_DAYS, Choice, ReasonCode, Wording
from ..services.layers import REASON_LENGTH, REFERENCE_LENGTH
from ..services.shown import APP_VERSION
from ..surfaces import DATA_KINDS, SURFACES, Scope, Surface
from .fields import Email, Input, Instant, MapOf, OneOf, Output, Sought, Text, TextOrNull
from .vocabularies import APP_SOURCES, CONSENT


def length_of(model: type[Any], field: str) -> int:
    """The max_length of a model's field, in characters; 0 without one."""
    return model._meta.get_field(field).max_length or 0


NAME, ADDRESS, PLAN_KEY = length_of(Organization, "name"), length_of(User, "email"), length_of(Plan, "key")


# --- Shown ----------------------------------------------------------------------------------------------------------


class ProductNow(NamedTuple):
    """A product, with the days of its cooling-off that are in force."""

    product: Product
    cooling_off_days: int


class ProductOutput(Output):
    about = "A product whose data may train models."

    key = OneOf(choices=Product.values, source="product.value", help_text="What other calls name it by.")
    name = serializers.CharField(source="product.label", help_text="Its name, in the language of the request.")
    cooling_off_days = serializers.IntegerField(
        min_value=0, max_value=MAX_DAYS, help_text="How many days old its data has to be before it is used, now."
    )
    data_kinds = serializers.SerializerMethodField(help_text="The kinds of data that it holds.")

    @extend_schema_field(
        serializers.ListField(child=OneOf(choices=sorted({k for v in DATA_KINDS.values() for k in v})))
    )
    def get_data_kinds(self, found: ProductNow) -> list[str]:
        return list(DATA_KINDS[found.product])


class PlanOutput(Output):
    about = "A plan that a product is subscribed on."

    key = serializers.CharField(help_text="What other calls name it by.")
    product = OneOf(choices=Product.values, help_text="The product it is a plan of.")
    name = serializers.CharField(help_text="Its name.")
    description = serializers.CharField(help_text="What it is, in the provider's words; may be empty.")
    training_default = OneOf(choices=CONSENT, help_text="What holds on this plan until somebody chooses.")


class WordingOutput(Output):
    about = "All words of a surface, in one language."

    wording = serializers.CharField(help_text="Their tag, which events name.")
    language = serializers.CharField(help_text="The language.")
    texts = serializers.DictField(
        child=serializers.CharField(),
        help_text="Part of the surface → its text. `_one`: where the organization is one person, if that differs.",
    )
    sha256 = serializers.CharField(
        help_text="SHA-256, in UTF-8, of the JSON object of `language`, `texts` and `wording`: names sorted, no spaces."
    )
    valid_from = Instant(help_text="Since when this portal knows them.")


class SurfaceOutput(Output):
    about = "A control on a screen, on which a choice is made."

    key = OneOf(choices=list(SURFACES), help_text="What other calls name it by.")
    product = OneOf(choices=Product.values, help_text="The product whose data the choice is about.")
    scope = OneOf(choices=[scope.value for scope in Scope], help_text="Whose choice it is.")
    path = serializers.ListField(
        child=serializers.CharField(), help_text="Where it is on the screen, from the outermost menu to the section."
    )
    label = serializers.CharField(help_text="The control's own words.")  # type: ignore[assignment]
    covers = serializers.CharField(help_text="Which data the choice is about, as the screen says it.")
    wordings = serializers.SerializerMethodField(
        help_text="All its words as they are now, in each language: what an app shows, and names with a choice."
    )

    @extend_schema_field(WordingOutput(many=True))
    def get_wordings(self, surface: Surface) -> Any:
        return WordingOutput(self.context["wordings"][surface.key], many=True).data


SUBSCRIPTIONS: dict[str, Any] = {
    "type": "object",
    "description": "The plan held of each product.",
    "properties": {
        product: {
            "type": ["string", "null"],
            "maxLength": PLAN_KEY,
            "description": f"The plan of {product}, by its key; null: none.",
        }
        for product in Product.values
    },
}


@extend_schema_field({"$ref": "#/components/schemas/Subscriptions"})
class Subscriptions(MapOf):
    """Product → key of the plan that the organization has subscribed to."""


class OrganizationOutput(Output):
    """An Organization with its live subscriptions prefetched as `live`."""

    about = "A customer: a team, or one person."

    id = serializers.UUIDField(help_text="Its id.")
    external_id = serializers.CharField(
        allow_null=True, help_text="Your own id of it, the last one that was given; null where none was."
    )
    name = serializers.CharField(help_text="Its name.")
    kind = OneOf(choices=Organization.Kind.values, help_text="A team, or one person.")
    country = TextOrNull(help_text="Its country, by two letters of ISO 3166-1; null where nobody said.")
    status = OneOf(choices=Organization.Status.values, help_text="Whether the account is open.")
    subscriptions = serializers.SerializerMethodField(help_text="The plan it holds of each product.")
    created_at = Instant(help_text="When the account was made.")

    @extend_schema_field(Subscriptions)
    def get_subscriptions(self, organization: Any) -> dict[str, str | None]:
        held = {subscription.product: subscription.plan_id for subscription in organization.live}
        return {product: held.get(product) for product in Product.values}


class MemberOutput(Output):
    about = "A person who belongs to an organization, or did."

    id = serializers.UUIDField(help_text="Their id in this organization.")
    external_id = serializers.CharField(
        allow_null=True, help_text="Your own id of them, the last one that was given; null where none was."
    )
    email = serializers.EmailField(source="user.email", help_text="Their e-mail address.")
    name = serializers.CharField(source="user.name", help_text="Their name.")
    role = OneOf(choices=Member.Role.values, help_text="What they may do in the organization.")
    status = OneOf(choices=Member.Status.values, help_text="Whether they still belong to it.")


class MemberFound(MemberOutput):
    about = "A person, and the organization that they belong to, or did."

    organization = serializers.UUIDField(source="organization_id", help_text="The id of the organization.")


class InvitationOutput(Output):
    """An Invitation; nothing here tells whether the address belongs to an account."""

    about = "An invitation that can still be accepted."

    id = serializers.UUIDField(help_text="Its id.")
    email = serializers.EmailField(help_text="The address that its link was sent to.")
    role = OneOf(choices=Member.Role.values, help_text="The role that whoever accepts it gets.")
    expires_at = Instant(help_text="Until when it can be accepted.")


class SettingOutput(Output):
    """A `presentation.privacy_settings.SettingView`."""

    about = "What an organization or a member chose on a surface, and what holds."

    surface = OneOf(choices=list(SURFACES), source="surface.key", help_text="Where the choice is made.")
    product = OneOf(choices=Product.values, source="surface.product", help_text="The product whose data it is about.")
    label = serializers.CharField(  # type: ignore[assignment]
        source="surface.label", help_text="The control's own words, in the language of the request."
    )
    choice = OneOf(choices=Choice.values, help_text="What was chosen here.")
    effective = OneOf(choices=CONSENT, help_text="What a decision asked now would say about new data.")
    reason = OneOf(choices=ReasonCode.values, source="reason_code", help_text="Why `effective` is what it is.")
    since = Instant(allow_null=True, help_text="Since when it has been so; null: since there is the account.")
    locked = serializers.BooleanField(help_text="Whether an operator has locked training off.")
    lock_reason = serializers.CharField(allow_null=True, help_text="Why it is locked; null where it is not.")
    carried_from = serializers.CharField(
        allow_null=True, help_text="The earlier plan whose opted-out default still holds; null where none does."
    )
    members_opted_out = serializers.IntegerField(
        allow_null=True, help_text="How many members opted out for themselves. Told to operators alone, else null."
    )
    changed_at = Instant(allow_null=True, help_text="When somebody last chose here; null where nobody has.")
    changed_by = serializers.CharField(allow_null=True, help_text="Who chose; null where nobody has.")
    event = serializers.CharField(
        allow_null=True, help_text="The id of the event that made the setting what it is; null where there is none."
    )


class SettingsOfOrganization(Output):
    """An Organization; the context's `settings` maps the id of each to its settings."""

    about = "An organization's privacy settings, or the one that was asked for."

    organization = serializers.UUIDField(source="pk", help_text="The organization's id.")
    external_id = serializers.CharField(allow_null=True, help_text="Your own id of it; null where none was given.")
    settings = serializers.SerializerMethodField(help_text="Its settings, in the order of `listSurfaces`.")

    @extend_schema_field(SettingOutput(many=True))
    def get_settings(self, organization: Organization) -> Any:
        return SettingOutput(self.context["settings"][organization.pk], many=True).data


# --- Taken ----------------------------------------------------------------------------------------------------------


class Reason(Text):
    """The reason of an action; it is stored in the ledger's event and shown with it."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**{"longest": REASON_LENGTH, "help_text": "Why; it is kept in the ledger.", **named})


class OptionalReason(Reason):
    def __init__(self, **named: Any) -> None:
        super().__init__(**{"required": False, "allow_blank": True, **named})


class NewExternalId(Text):
    """An external id to assign; null assigns none, and does not withdraw an earlier one."""

    def __init__(self, **named: Any) -> None:
        about = "Your own id of it. It means this one for good: one that was ever another's is refused."
        super().__init__(**{"required": False, "allow_null": True, "longest": LENGTH, "help_text": about, **named})


class Country(Text):
    def __init__(self, **named: Any) -> None:
        about = "Two letters of ISO 3166-1, like `FR`; empty or null for none."
        taken: dict[str, Any] = {"required": False, "allow_null": True, "allow_blank": True}
        super().__init__(**{**taken, "longest": 2, "pattern": "^([A-Za-z]{2})?$", "help_text": about, **named})


class OwnerInput(Input):
    about = "The one person of a personal organization."

    email = Email(longest=ADDRESS, help_text="Their e-mail address.")
    name = Text(allow_blank=True, max_length=200, help_text="Their name.")


class OrganizationInput(Input):
    about = "An organization to create."

    name = Text(longest=NAME, help_text="Its name.")
    kind = OneOf(choices=Organization.Kind.values, help_text="A team, or one person.")
    external_id = NewExternalId()
    country = Country()
    subscriptions = Subscriptions(
        child=Text(allow_null=True), required=False, help_text="The plan of each product that it starts with."
    )
    owner = OwnerInput(
        required=False, help_text="Whose it is: needed for a personal organization, and refused for a team."
    )


class OrganizationChange(Input):
    about = "What is to change; what is left out stays as it is."

    name = Text(required=False, longest=NAME, help_text="Its new name.")
    kind = OneOf(choices=Organization.Kind.values, required=False, help_text="A team, or one person.")
    external_id = NewExternalId()
    country = Country()
    status = OneOf(
        choices=Organization.Status.values,
        required=False,
        help_text="To close the account, or open it again (operators).",
    )
    reason = OptionalReason()


class SubscriptionInput(Input):
    about = "The plan to start, or to move to."

    plan = Text(longest=PLAN_KEY, help_text="The plan, by its key; one of this product.")
    reason = OptionalReason()


class ReasonInput(Input):
    about = "Why it is done."

    reason = OptionalReason()


class WithdrawalInput(Input):
    about = "Why the external id is withdrawn."

    reason = Reason()


class LockInput(Input):
    about = "Why training is locked off."

    reason = Reason(help_text="Why; shown to the organization.")
    reference = Text(longest=REFERENCE_LENGTH, help_text="The contract, law or ticket behind it.")


class LiftInput(Input):
    about = "Why the lock is lifted."

    reason = Reason()


class MemberInput(Input):
    """A member to add, or to invite: then `name` is ignored, since the person enters it when they join."""

    about = "A person to add (operators) or to invite (organizations)."

    email = Email(longest=ADDRESS, help_text="Their e-mail address.")
    name = Text(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="Their name; somebody who is invited gives it themselves when they join.",
    )
    role = OneOf(choices=Member.Role.values, help_text="What they may do in the organization.")
    external_id = NewExternalId()


def known_address(text: str) -> str:
    """The address normalized for a search; raises Unusable.

    Also accepts addresses that only satisfy Django's rule: accounts from before the stricter rule may have one.
    """
    try:
        return email_addresses.normalize(text)
    except Unusable:
        validate_email = EmailValidator()
        try:
            validate_email(text)
        except ValidationError:
            raise Unusable from None
        return email_addresses.asked(text)


class MemberQuery(Input):
    email = Sought(known_address, longest=ADDRESS, help_text="Only who has this address, however it is spelled.")
    external_id = Sought(external_ids.normalize, longest=LENGTH, help_text="Only whom this id of yours means.")
    role = OneOf(choices=Member.Role.values, required=False, help_text="Only those with this role.")
    status = OneOf(choices=Member.Status.values, required=False, help_text="Only those who belong to it, or who left.")


class MemberChange(Input):
    about = "What is to change; what is left out stays as it is."

    role = OneOf(choices=Member.Role.values, required=False, help_text="What they may do from now on.")
    external_id = NewExternalId()


class ShownInput(Input):
    about = "The words that the person saw as they chose."

    wording = Text(
        longest=length_of(Wording, "wording"), help_text="Their tag: a wording of this surface, by `surfaces/`."
    )
    language = Text(longest=length_of(Wording, "language"), help_text="The language in which they were shown.")
    app_version = Text(
        required=False, allow_blank=True, longest=APP_VERSION, help_text="The version of the app that showed them."
    )


class ChoiceInput(Input):
    about = "A choice. Opting out always works."

    choice = OneOf(choices=CONSENT, help_text="Out, or in.")
    reason = OptionalReason(help_text="Why; needed to opt in on a plan that is opted out by default.")
    shown = ShownInput(required=False, help_text="Which words the person saw; without it the event says `not_stated`.")


class MemberChoiceInput(ChoiceInput):
    about = "A member's choice. Opting out always works."

    source = OneOf(  # type: ignore[assignment]
        choices=APP_SOURCES,
        required=False,
        help_text="The app in which the member chose: needed with a key, and refused without.",
    )

"""Output of events and the filters of their lists; the help texts are for readers of the OpenAPI description."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.catalogue import Product

from ..models import ActorType, ConsentEvent, EventKind, Source
from ..presentation import events
from ..surfaces import SURFACES
from .fields import Ident, Input, Instant, OneOf, Output, Sought
from .vocabularies import KIND_FAMILIES


class ActorOutput(Output):
    about = "Who did something."

    type = OneOf(choices=ActorType.values, help_text="A person, an API key, a command, or the portal itself.")
    id = serializers.CharField(
        allow_null=True, help_text="The person's or key's id; null where it is nobody's, or not told to you."
    )
    label = serializers.CharField(help_text="A name to show.")  # type: ignore[assignment]


class EventOutput(Output):
    """An event that has a position. The context needs `labels` (event id → actor's label) and `for_operator`."""

    about = "One entry of the ledger: what happened, when, and who did it. It never changes."

    id = serializers.CharField(help_text="Its id. A webhook's message about it has the same.")
    position = serializers.IntegerField(
        source="placed.position",
        min_value=1,
        max_value=2**63 - 1,
        help_text="Its place in the ledger's one order, counted for the whole portal.",
    )
    epoch = serializers.IntegerField(
        source="placed.epoch",
        min_value=1,
        help_text="How often a restored database was adopted before, and one. A position means one event in an epoch.",
    )
    recorded_at = Instant(help_text="When it was written.")
    kind = OneOf(choices=EventKind.values, help_text="What happened.")
    organization = serializers.UUIDField(
        source="organization_id",
        allow_null=True,
        help_text="The organization it is about; null where it is about none.",
    )
    member = serializers.UUIDField(
        source="member_id", allow_null=True, help_text="The member it is about; null where it is about none."
    )
    product = OneOf(choices=Product.values, allow_null=True, help_text="The product it is about; null: none.")
    surface = OneOf(
        choices=list(SURFACES), allow_null=True, help_text="Where it was chosen; null for what is no choice."
    )
    before = serializers.CharField(
        allow_null=True, help_text="What it was before, in the words of its kind; null: nothing."
    )
    after = serializers.CharField(
        allow_null=True, help_text="What it is since, in the words of its kind; null: nothing."
    )
    target = serializers.CharField(
        allow_null=True, help_text="The id of the key, webhook, invitation or other thing that it is about; null: none."
    )
    url = serializers.URLField(
        allow_null=True,
        help_text="Where to read, with a key, what it is about: the entries of a removal; null for other kinds.",
    )
    allowed = serializers.BooleanField(
        allow_null=True,
        help_text="Whether the layer lets data be used since; null where the event is about no layer.",
    )
    actor = ActorOutput(help_text="Who did it.")
    source = OneOf(choices=Source.values, help_text="Where it was done.")  # type: ignore[assignment]
    reason = serializers.CharField(help_text="The reason that was given; empty where none was.")
    request_id = serializers.CharField(help_text="The `X-Request-ID` of the request that wrote it.")
    wording = serializers.CharField(
        allow_null=True,
        help_text="Of a choice: the words that the person saw, by the tag of `surfaces/`; `not_stated`: the caller did"
        " not say; null: nobody chose on a screen, as in a job or an import.",
    )
    language = serializers.CharField(allow_null=True, help_text="The language of these words; null where not known.")
    app_version = serializers.CharField(
        allow_null=True, help_text="The version of the app that showed them; null where nobody gave one."
    )

    def to_representation(self, event: ConsentEvent) -> dict[str, Any]:
        return events.serialize_event(
            event, self.context["labels"][event.pk], for_operator=self.context["for_operator"]
        )


class EventMessageOutput(EventOutput):
    about = "What a webhook sends: an event, its kind and instant also by the names that Standard Webhooks gives them."

    type = OneOf(choices=EventKind.values, help_text="What happened, as in `kind`.")
    timestamp = Instant(help_text="When it was written, as in `recorded_at`.")


class EventKindOutput(Output):
    about = "A kind of event, and what it says."

    kind = OneOf(choices=EventKind.values, help_text="The kind.")
    label = serializers.CharField(  # type: ignore[assignment]
        help_text="What happened, in words, in the language of the request."
    )
    before = serializers.CharField(allow_null=True, help_text="What the event's `before` holds; null: nothing.")
    after = serializers.CharField(allow_null=True, help_text="What the event's `after` holds; null: nothing.")
    target = serializers.CharField(allow_null=True, help_text="What the event's `target` holds; null: nothing.")
    operators_only = serializers.BooleanField(help_text="Whether no organization is told of such events.")
    example = serializers.SerializerMethodField(help_text="What a webhook sends of such an event.")

    @extend_schema_field(EventMessageOutput)
    def get_example(self, entry: dict[str, Any]) -> Any:
        return entry["example"]


_SCHEMAS = "#/components/schemas"


@extend_schema_field({"anyOf": [{"$ref": f"{_SCHEMAS}/EventKind"}, {"$ref": f"{_SCHEMAS}/EventKindFamily"}]})
class KindOrFamily(OneOf):
    """A kind of event, or a family of kinds: a prefix with `.*`."""


class EventQuery(Input):
    kind = KindOrFamily(
        choices=[*EventKind.values, *KIND_FAMILIES],
        required=False,
        help_text="Only this kind, or with `.*` this family of kinds.",
    )
    product = OneOf(choices=Product.values, required=False, help_text="Only those about this product.")
    surface = OneOf(choices=list(SURFACES), required=False, help_text="Only choices made here.")
    member = Ident(help_text="Only those about this member, by id or `external:` id.")
    actor = Sought(longest=64, help_text="Only what the person or key with this id did.")
    target = Sought(longest=64, help_text="Only those of the access trail about this id: a key's, a webhook's.")
    since = Instant(required=False, help_text="Only those written at this instant or later.")
    until = Instant(required=False, help_text="Only those written before this instant.")

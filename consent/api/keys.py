"""`/me/`, and API keys: list, create, revoke, take over. Only for people who are signed in: a key can't manage keys."""

from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.text import capfirst
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Forbidden, NotFound, Permission, get_organization, organizations_with
from accounts.fields import parse_id
from accounts.models import ApiKey, ApiKeyQuerySet, KeyScope, Member, Organization

from ..models import ActorType, Source
from ..services import credentials
from ..services.credentials import Issued
from .base import ApiView
from .bulk_serializers import NothingInput
from .fields import IDENT, Ident, Input, Instant, ListOf, OneOf, Output, Text
from .paging import CursorPagination
from .serializers import length_of
from .vocabularies import KEY_STATUSES


class ResponsibleOutput(Output):
    about = "The person who answers for a key. To an organization, one of the provider's people is the provider."

    id = serializers.UUIDField(allow_null=True, help_text="The person's id; null: not told.")
    label = serializers.CharField(help_text="Their name.")  # type: ignore[assignment]


class ApiKeyOutput(Output):
    about = "An API key, without its text."

    id = serializers.UUIDField(help_text="Its id.")
    name = serializers.CharField(help_text="What it is for, as somebody named it.")
    prefix = serializers.CharField(help_text="How its text begins.")
    organization = serializers.UUIDField(
        source="organization_id", allow_null=True, help_text="Whose it is; null: the operator's, good for all."
    )
    scopes = serializers.ListField(child=OneOf(choices=KeyScope.values), help_text="What it may be used for.")
    status = serializers.SerializerMethodField(help_text="Whether it can be used.")
    responsible = serializers.SerializerMethodField(
        help_text="Who answers for what is done with it; null: nobody in person, it was made by a command."
    )
    installation = serializers.BooleanField(help_text="Whether it goes on working when that person leaves.")
    created_at = Instant(help_text="When it was made.")
    expires_at = Instant(allow_null=True, help_text="Until when it can be used; null: for good.")
    suspended_at = Instant(allow_null=True, help_text="Since when nobody answers for it; null: somebody does.")
    revoked_at = Instant(allow_null=True, help_text="When somebody ended it; null: nobody has.")
    last_used_at = Instant(allow_null=True, help_text="When it was last used, to the minute; null: never.")

    @extend_schema_field(OneOf(choices=KEY_STATUSES))
    def get_status(self, key: ApiKey) -> str:
        return key.status(timezone.now())

    @extend_schema_field(ResponsibleOutput(allow_null=True))
    def get_responsible(self, key: ApiKey) -> dict[str, str | None] | None:
        user = key.issued_by
        if user is None:
            return None
        if user.is_staff and not self.context["for_operator"]:
            return {"id": None, "label": str(capfirst(settings.PROVIDER_NAME))}
        return {"id": str(user.pk), "label": str(user)}


class ApiKeyWithText(ApiKeyOutput):
    about = "An API key with its text, which is shown this once."

    key = serializers.CharField(
        allow_null=True, help_text="Its text, shown this once; null where the key waits for a second operator."
    )


class ApiKeyInput(Input):
    about = "A key to make."

    name = Text(longest=length_of(ApiKey, "name"), help_text="What it is for.")
    scopes = ListOf(
        child=OneOf(choices=KeyScope.values), allow_empty=False, max_length=20, help_text="What it may be used for."
    )
    organization = Text(
        required=False,
        allow_null=True,
        longest=IDENT,
        help_text="Whose it is, by id or `external:` id. Left out: the operator's, or that of the one organization "
        "whose keys you manage.",
    )
    expires_at = Instant(required=False, allow_null=True, help_text="Until when it can be used; null: for good.")


class ApiKeyQuery(Input):
    organization = Ident(help_text="Only keys of this organization, by id or `external:` id.")
    status = OneOf(choices=KEY_STATUSES, required=False, help_text="Only keys in this state.")
    unused_since = Instant(required=False, help_text="Only keys that were not used since then, or never.")
    expires_before = Instant(required=False, help_text="Only keys that end before then by themselves.")


class MembershipOutput(Output):
    about = "An organization that the person belongs to."

    organization = serializers.UUIDField(source="organization_id", help_text="The organization's id.")
    name = serializers.CharField(source="organization.name", help_text="Its name.")
    member = serializers.UUIDField(source="pk", help_text="The person's id as a member of it.")
    role = OneOf(choices=Member.Role.values, help_text="What they may do in it.")


class MeOutput(Output):
    about = "Who asks: a person, or a key."

    type = OneOf(choices=ActorType.values, help_text="A person who is signed in, or an API key.")
    id = serializers.CharField(help_text="The person's or key's id.")
    name = serializers.CharField(help_text="The person's or key's name.")
    operator = serializers.BooleanField(help_text="Whether they act for the provider.")
    organization = serializers.UUIDField(
        allow_null=True, help_text="The organization that a key belongs to; null: to none, or no key asks."
    )
    scopes = serializers.ListField(
        child=OneOf(choices=KeyScope.values),
        allow_null=True,
        help_text="What a key may be used for; null: no key asks.",
    )
    email = serializers.EmailField(allow_null=True, help_text="A person's address; null: a key asks.")
    memberships = MembershipOutput(many=True, help_text="The organizations that a person belongs to; none for a key.")
    confirmed = serializers.BooleanField(
        allow_null=True, help_text="Whether a person has shown lately who they are; null: a key asks."
    )


class Me(ApiView):
    def get(self, _request: Request) -> Response:
        actor, key, user = self.actor, self.actor.key, self.actor.user
        own = Member.objects.active().of_person(actor).select_related("organization").order_by("organization_id")
        body = {
            "type": actor.type.value,
            "id": actor.id,
            "name": key.name if key else user.name if user else "",
            "operator": actor.is_operator,
            "organization": str(key.organization_id) if key and key.organization_id else None,
            "scopes": key.scopes if key else None,
            "email": user.email if user else None,
            "memberships": MembershipOutput(own, many=True).data,
            "confirmed": actor.confirmed if user else None,
        }
        return Response(body)


class KeyView(ApiView):
    def keys(self) -> ApiKeyQuerySet:
        """The keys of organizations whose keys the person manages; for operators all keys. Raises Forbidden."""
        within = organizations_with(self.actor, Permission.KEYS_MANAGE)
        rows = ApiKey.objects.select_related("organization", "issued_by")
        return rows if within is None else rows.filter(organization__in=within)

    def key(self, ident: str) -> ApiKey:
        """The key with this id; raises Forbidden, NotFound."""
        pk, rows = parse_id(ident), self.keys()
        found = rows.filter(pk=pk).first() if pk else None
        if found is None:
            raise NotFound("key")
        return found

    def shown(self, *keys: ApiKey) -> list[Any]:
        context = {"for_operator": self.actor.is_operator}
        return list(ApiKeyOutput(keys, many=True, context=context).data)

    def issued(self, issued: Issued) -> dict[str, Any]:
        return {**self.shown(issued.key)[0], "key": issued.text}


class ApiKeys(KeyView):
    query_class = ApiKeyQuery
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        rows = self.keys()
        if "organization" in self.params:
            of = get_organization(self.actor, self.params["organization"], Permission.KEYS_MANAGE)
            rows = rows.filter(organization=of)
        found, following = self.paginator.page(request, self._matching(rows))
        return Response({"results": self.shown(*found), "next": following})

    def _matching(self, rows: ApiKeyQuerySet) -> ApiKeyQuerySet:
        if "status" in self.params:
            rows = rows.with_status(self.params["status"], timezone.now())
        if "unused_since" in self.params:
            rows = rows.unused_since(self.params["unused_since"])
        if "expires_before" in self.params:
            rows = rows.filter(expires_at__lt=self.params["expires_before"])
        return rows

    def post(self, _request: Request) -> Response:
        """201 with the key's text, which is never shown again."""
        within = organizations_with(self.actor, Permission.KEYS_MANAGE)
        values = self.body(ApiKeyInput)
        organization = self._organization(values.pop("organization", None), within)
        issued = credentials.issue_key(organization=organization, actor=self.actor, source=Source.API, **values)
        return self.created(self.issued(issued), issued.key.pk)

    def _organization(self, ident: str | None, within: frozenset[Any] | None) -> Organization | None:
        """The organization that the key is for; None, without `ident`, for an operator's key.

        Somebody else may omit `ident` if they manage the keys of exactly one organization; otherwise raises Forbidden.
        """
        if ident is not None:
            return get_organization(self.actor, ident, Permission.KEYS_MANAGE)
        if within is None:
            return None
        if len(within) != 1:
            raise Forbidden(Permission.KEYS_MANAGE)
        return Organization.objects.get(pk=next(iter(within)))


class ApiKeyDetail(KeyView):
    def get(self, _request: Request, key: str) -> Response:
        return Response(self.shown(self.key(key))[0])

    def delete(self, _request: Request, key: str) -> Response:
        """Revokes the key for good. The row stays, because events refer to it."""
        found = self.key(key)
        self.body(self.delete_class)
        credentials.revoke_key(key=found, actor=self.actor, source=Source.API)
        return Response(status=204)


class ApiKeyTakeOver(KeyView):
    def post(self, _request: Request, key: str) -> Response:
        """The caller becomes responsible for the key. Its new text is shown only here; the old one stops working."""
        found = self.key(key)
        self.body(NothingInput)
        return Response(self.issued(credentials.take_over_key(key=found, actor=self.actor, source=Source.API)))

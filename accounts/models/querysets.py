"""Tenant isolation: each model's queryset has `visible_to(actor)`, and every interface starts its queries from it."""

import datetime as dt
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import connections, models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Collate, Lower, NullIf, StrIndex
from django.db.models.lookups import GreaterThan
from django.utils import timezone

from .. import external_ids, names
from ..fields import byte_order, split_ident
from . import name_words
from .bindings import Binding
from .folding import Folded

if TYPE_CHECKING:
    from ..access import Actor
    from .api_keys import ApiKey  # noqa: F401  (named in the classes' brackets)
    from .invitations import Invitation  # noqa: F401
    from .organizations import Member, Organization  # noqa: F401

_Model_co = TypeVar("_Model_co", bound=models.Model, covariant=True)


def _own_organizations(actor: "Actor") -> Any:
    """Ids of the organizations that a non-operator may see, as a list or a subquery; both may be empty."""
    if actor.key is not None:
        return [actor.key.organization_id] if actor.has_worth and actor.key.organization_id else []
    if actor.user is None or not actor.user.is_active:
        return []
    return actor.user.memberships.active().values("organization_id")


# A queryset of subjects that have external ids.
class IdentifiedQuerySet(models.QuerySet[_Model_co]):
    _named = "member"

    def identified_by(self, ident: object) -> Self:
        """By id or `external:<id>`; an ident that is neither matches nothing."""
        pk, external_id = split_ident(ident)
        if pk is not None:
            return self.filter(pk=pk)
        return self.filter(pk__in=self._meaning(external_id)) if external_id else self.none()

    def with_external_id(self, text: str) -> Self:
        """The subject that this external id means now, in any spelling: its current id, or an earlier one (R16)."""
        value = external_ids.asked(text)
        return self.filter(pk__in=self._meaning(value)) if value else self.none()

    def _meaning(self, value: str) -> Any:
        live = Binding.objects.live().filter(value=value)
        if self._named == "organization":
            return live.of_organizations().values("organization")
        return live.of_members().values("member")


class OrganizationQuerySet(IdentifiedQuerySet["Organization"]):
    _named = "organization"

    def visible_to(self, actor: "Actor") -> Self:
        """Operators see all; everybody else the organizations they belong to (R15)."""
        return self if actor.is_operator else self.filter(pk__in=_own_organizations(actor))

    def named(self, start: str) -> Self:
        """Organizations whose name starts with `start`, ordered by name; ignores case (on SQLite of ASCII only).

        In this order one index serves filter and order, so a page costs the same for any number of matches. Ordered
        by id, a common start would read all of them.
        """
        if connections[self.db].vendor == "sqlite":
            first: Lower | Collate = Lower(Value(start))
            rows = self.alias(_name=Lower("name")).filter(_name__startswith=first)
            # SQLite's LIKE can't use the index. A range can, and is equivalent, because text compares by code point.
            rows = rows.filter(_name__gte=first, _name__lt=Lower(Value(start + "\U0010ffff")))
        else:
            first = Collate(Lower(Value(start)), "C")
            rows = self.alias(_name=Collate(Lower("name"), "C")).filter(_name__startswith=first)
        return rows.order_by("_name", "pk")

    def matching(self, text: str) -> Self:
        """Organizations whose name has all these words (the last one may be typed in part), by that word, newest first.

        Accents and case do not matter. A name is found this way once `projections.name_words` has read it. Where none
        is found, the start of the name counts, so that a new one is found at once unless older ones have the words.
        """
        asked = name_words.wanted(text)
        if not asked:
            return self.named(text)
        begin = name_words.NameWord.objects.rarest(asked)
        found = self.filter(name_words.condition(asked, begin, "name_words"))
        if not found.exists():
            return self.named(text)
        return found.order_by("name_words__word", "-name_words__organization_id")


class MemberQuerySet(IdentifiedQuerySet["Member"]):
    def visible_to(self, actor: "Actor") -> Self:
        return self if actor.is_operator else self.filter(organization_id__in=_own_organizations(actor))

    def active(self) -> Self:
        return self.filter(status="active")

    def called(self, text: str) -> Self:
        """Members whose name or address has all words of the text, also in part; accents and case do not matter.

        It reads all members that the queryset has: filter by organization first.
        """
        asked = names.words(text)
        if not asked:
            return self.none()
        rows = self.alias(_name=Folded("user__name"), _address=Folded("user__email"))
        for word in asked:
            part = Folded(Value(word))
            rows = rows.filter(
                Q(GreaterThan(StrIndex(F("_name"), part), 0)) | Q(GreaterThan(StrIndex(F("_address"), part), 0))
            )
        return rows

    def by_name(self) -> Self:
        """Ordered by name, by address where there is none; `sorted_by` is that, folded."""
        shown = Coalesce(NullIf("user__name", Value("")), "user__email", output_field=models.TextField())
        return self.annotate(sorted_by=Collate(Folded(shown), byte_order(self.db))).order_by("sorted_by", "pk")

    def of_person(self, actor: "Actor") -> Self:
        """The actor's own memberships, those they left included: there they can still opt out (R14)."""
        return self.filter(user=actor.user) if actor.user is not None else self.none()


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def visible_to(self, actor: "Actor") -> Self:
        return self if actor.is_operator else self.filter(organization_id__in=_own_organizations(actor))

    def with_status(self, status: str, now: dt.datetime) -> Self:
        """Keys whose `ApiKey.status` is this one."""
        revoked, ended = Q(revoked_at__isnull=False), Q(expires_at__lte=now)
        suspended = Q(suspended_at__isnull=False)
        match status:
            case "revoked":
                return self.filter(revoked)
            case "expired":
                return self.filter(ended).exclude(revoked)
            case "suspended":
                return self.filter(suspended).exclude(revoked).exclude(ended)
        return self.exclude(revoked).exclude(ended).exclude(suspended)

    def unused_since(self, instant: dt.datetime) -> Self:
        """Keys that were last used before the instant, or never."""
        return self.filter(Q(last_used_at=None) | Q(last_used_at__lt=instant))


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def visible_to(self, actor: "Actor") -> Self:
        return self if actor.is_operator else self.filter(organization_id__in=_own_organizations(actor))

    def live(self) -> Self:
        return self.filter(expires_at__gt=timezone.now())

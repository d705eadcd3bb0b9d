"""Privacy settings of organizations and members: read and choose; locks: place and lift."""

from typing import Any

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import (
    Actor,
    ActorType,
    Forbidden,
    NotFound,
    Permission,
    get_member,
    get_organization,
    permissions,
)
from accounts.models import Member, Organization

from ..models import Source
from ..presentation import privacy_settings
from ..services.choices import choose
from ..services.locks import lift_lock, place_lock
from ..services.shown import shown_by_caller
from ..surfaces import MEMBER_SURFACES, ORGANIZATION_SURFACES, Surface, organization_surface
from . import etags, filters
from .base import ApiView
from .organizations import known_product
from .paging import CursorPagination, WholeList
from .serializers import ChoiceInput, LiftInput, LockInput, MemberChoiceInput, SettingOutput, SettingsOfOrganization

# Permissions that let somebody other than the member read or write a member's settings; any one is enough.
_READ = frozenset({Permission.MEMBER_CONSENT_VIEW})
_WRITE = frozenset({Permission.MEMBER_CONSENT_TIGHTEN, Permission.MEMBER_CONSENT_SPEAK})


def _surface(key: str, among: tuple[Surface, ...]) -> Surface:
    for surface in among:
        if surface.key == key:
            return surface
    raise Http404


class SettingView(ApiView):
    def answer(self, setting: privacy_settings.SettingView) -> Response:
        self.version = str(setting.version)
        return Response(SettingOutput(setting).data)

    def expected_version(self) -> frozenset[int] | None:
        return etags.numbers(self.request.META.get("HTTP_IF_MATCH"))


class SettingsView(ApiView):
    paginator: WholeList = WholeList()

    def listed(self, request: Request, settings: list[privacy_settings.SettingView]) -> Response:
        found, following = self.paginator.whole(request, settings)
        return Response({"results": SettingOutput(found, many=True).data, "next": following})


class ManySettings(ApiView):
    """A page of organizations, each with its settings."""

    query_class = filters.SettingsQuery
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        rows = filters.organizations(self.actor, Permission.CONSENT_VIEW, self.params)
        found, following = self.paginator.page(request, filters.settings_changed_since(rows, self.params))
        surfaces = [each for each in ORGANIZATION_SURFACES if each.key == self.params.get("surface", each.key)]
        context = {"settings": privacy_settings.settings_of(found, self.actor, surfaces)}
        listed = SettingsOfOrganization(found, many=True, context=context)
        return Response({"results": listed.data, "next": following})


class OrganizationSettings(SettingsView):
    def get(self, request: Request, organization: str) -> Response:
        found = get_organization(self.actor, organization, Permission.CONSENT_VIEW)
        return self.listed(request, privacy_settings.organization_settings(found, self.actor))


class OrganizationSetting(SettingView):
    def get(self, _request: Request, organization: str, surface: str) -> Response:
        found = get_organization(self.actor, organization, Permission.CONSENT_VIEW)
        return self._shown(found, _surface(surface, ORGANIZATION_SURFACES))

    def put(self, _request: Request, organization: str, surface: str) -> Response:
        found = get_organization(self.actor, organization, Permission.CONSENT_CHOOSE)
        chosen_on = _surface(surface, ORGANIZATION_SURFACES)
        values: dict[str, Any] = self.body(ChoiceInput)
        shown = shown_by_caller(chosen_on, values.pop("shown", None))
        choose(
            surface=chosen_on,
            organization=found,
            actor=self.actor,
            source=Source.API,
            expected_version=self.expected_version(),
            shown=shown,
            **values,
        )
        return self._shown(found, chosen_on)

    def _shown(self, organization: Organization, surface: Surface) -> Response:
        return self.answer(privacy_settings.organization_setting(organization, surface, self.actor))


def _member(actor: Actor, organization: str, member: str, needed: frozenset[Permission]) -> Member:
    """The actor's own membership, even one that they left, or any member for whom they have a permission of `needed`.

    Raises NotFound for an absent or foreign organization or member. Raises Forbidden before the member is looked up, so
    that it does not tell whether the member exists.
    """
    own = (
        Member.objects.of_person(actor)
        .identified_by(member)
        .filter(organization__in=Organization.objects.identified_by(organization).values("pk"))
        .select_related("organization", "user")
        .first()
    )
    if own is not None and actor.is_user(own.user_id):
        return own
    found = Organization.objects.visible_to(actor).identified_by(organization).first()
    if found is None:
        raise NotFound("organization")
    if not needed & permissions(actor, found):
        raise Forbidden(Permission.MEMBER_CONSENT_VIEW)
    return get_member(actor, found, member)


class MemberSettings(SettingsView):
    def get(self, request: Request, organization: str, member: str) -> Response:
        found = _member(self.actor, organization, member, _READ)
        return self.listed(
            request, [privacy_settings.member_setting(found, each, self.actor) for each in MEMBER_SURFACES]
        )


class MemberSetting(SettingView):
    def get(self, _request: Request, organization: str, member: str, surface: str) -> Response:
        found = _member(self.actor, organization, member, _READ)
        return self.answer(privacy_settings.member_setting(found, _surface(surface, MEMBER_SURFACES), self.actor))

    def put(self, _request: Request, organization: str, member: str, surface: str) -> Response:
        found = _member(self.actor, organization, member, _WRITE)
        chosen_on = _surface(surface, MEMBER_SURFACES)
        by_key = self.actor.type == ActorType.API_KEY
        # Only a key passes on a choice made in an app, and has to name the app as `source`; `choose` checks that.
        values: dict[str, Any] = self.body(MemberChoiceInput if by_key else ChoiceInput)
        shown = shown_by_caller(chosen_on, values.pop("shown", None))
        choose(
            surface=chosen_on,
            organization=found.organization,
            member=found,
            actor=self.actor,
            expected_version=self.expected_version(),
            shown=shown,
            **{"source": Source.API, **values},
        )
        return self.answer(privacy_settings.member_setting(found, chosen_on, self.actor))


class LockDetail(SettingView):
    delete_class = LiftInput

    def put(self, _request: Request, organization: str, product: str) -> Response:
        found = get_organization(self.actor, organization, Permission.LOCKS_MANAGE)
        key = known_product(product)
        place_lock(organization=found, product=key, actor=self.actor, source=Source.API, **self.body(LockInput))
        return self.answer(privacy_settings.organization_setting(found, organization_surface(key), self.actor))

    def delete(self, _request: Request, organization: str, product: str) -> Response:
        found = get_organization(self.actor, organization, Permission.LOCKS_MANAGE)
        key = known_product(product)
        lift_lock(organization=found, product=key, actor=self.actor, source=Source.API, **self.body(self.delete_class))
        return Response(status=204)

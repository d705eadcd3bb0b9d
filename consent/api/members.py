"""An organization's members and invitations. DELETE ends a membership: row, history and choice stay (R14)."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import NotFound, Permission, acts_as_operator, get_member, get_organization, require
from accounts.fields import parse_id
from accounts.models import Invitation, Member, MemberQuerySet
from config.problems import error_item, invalid

from ..models import Source
from ..services import invitations, layers
from ..services.members import add_member, remove_member, update_member
from .base import ApiView
from .idempotency import idempotent
from .paging import CursorPagination
from .serializers import InvitationOutput, MemberChange, MemberFound, MemberInput, MemberOutput, MemberQuery


def matching(rows: MemberQuerySet, params: dict[str, Any]) -> MemberQuerySet:
    """The rows that match all given parameters of `MemberQuery`."""
    if "external_id" in params:
        rows = rows.with_external_id(params["external_id"])
    if "email" in params:
        rows = rows.filter(user__email=params["email"])
    named = {name: params[name] for name in ("role", "status") if name in params}
    return rows.filter(**named).select_related("user")


class MembersAnywhere(ApiView):
    """Find memberships in all organizations by e-mail address or external id (operators only)."""

    query_class = MemberQuery
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        require(self.actor, Permission.MEMBERS_VIEW, None)
        # Without either this would be a list of all people.
        if not self.params.keys() & {"email", "external_id"}:
            detail = _("Give the email or external_id to look for.")
            raise invalid([error_item("?email", detail), error_item("?external_id", detail)])
        found, following = self.paginator.page(request, matching(Member.objects.all(), self.params))
        return Response({"results": MemberFound(found, many=True).data, "next": following})


class Members(ApiView):
    query_class = MemberQuery
    paginator = CursorPagination()

    def get(self, request: Request, organization: str) -> Response:
        found = get_organization(self.actor, organization, Permission.MEMBERS_VIEW)
        rows = matching(Member.objects.filter(organization=found), self.params)
        members, following = self.paginator.page(request, rows)
        return Response({"results": MemberOutput(members, many=True).data, "next": following})

    def may_post(self, organization: str) -> None:
        get_organization(self.actor, organization, Permission.MEMBERS_MANAGE)

    @idempotent(may_post)
    def post(self, request: Request, organization: str) -> Response:
        """Operators add a member directly (201). Others send an invitation, which the person accepts (202)."""
        found = get_organization(self.actor, organization, Permission.MEMBERS_MANAGE)
        values = self.body(MemberInput)
        if acts_as_operator(self.actor, Permission.MEMBERS_MANAGE, found):
            made = add_member(organization=found, actor=self.actor, source=Source.API, **values)
            return self.created(MemberOutput(made).data, made.pk)
        if values.get("external_id") is not None:
            require(self.actor, Permission.EXTERNAL_IDS, found)

        def link(secret: str) -> str:
            return request.build_absolute_uri(reverse("invitation", args=[secret]))

        sent = invitations.invite(
            source=Source.API,
            organization=found,
            email=values["email"],
            role=values["role"],
            actor=self.actor,
            link=link,
        )
        path = reverse("api:invitation", args=[found.pk, sent.pk])
        location = {"Location": request.build_absolute_uri(path)}
        return Response(InvitationOutput(sent).data, status=202, headers=location)


class Invitations(ApiView):
    """The invitations that can still be accepted."""

    paginator = CursorPagination()

    def get(self, request: Request, organization: str) -> Response:
        found = get_organization(self.actor, organization, Permission.MEMBERS_VIEW)
        rows = Invitation.objects.live().filter(organization=found)
        sent, following = self.paginator.page(request, rows)
        return Response({"results": InvitationOutput(sent, many=True).data, "next": following})


class InvitationDetail(ApiView):
    def get(self, _request: Request, organization: str, invitation: str) -> Response:
        return Response(InvitationOutput(self._invitation(organization, invitation, Permission.MEMBERS_VIEW)).data)

    def delete(self, _request: Request, organization: str, invitation: str) -> Response:
        found = self._invitation(organization, invitation, Permission.MEMBERS_MANAGE)
        self.body(self.delete_class)
        invitations.withdraw(source=Source.API, invitation=found, actor=self.actor)
        return Response(status=204)

    def _invitation(self, organization: str, ident: str, permission: Permission) -> Invitation:
        of = get_organization(self.actor, organization, permission)
        pk = parse_id(ident)
        found = Invitation.objects.live().filter(organization=of, pk=pk).first() if pk else None
        if found is None:
            raise NotFound("invitation")
        return found


class MemberDetail(ApiView):
    def get(self, _request: Request, organization: str, member: str) -> Response:
        return Response(MemberOutput(self._member(organization, member, Permission.MEMBERS_VIEW)).data)

    def patch(self, _request: Request, organization: str, member: str) -> Response:
        found = self._member(organization, member, Permission.MEMBERS_MANAGE)
        changes = self.body(MemberChange)
        with self.unchanged(found):
            changed = update_member(member=found, actor=self.actor, source=Source.API, **changes)
        return Response(MemberOutput(changed).data)

    def delete(self, _request: Request, organization: str, member: str) -> Response:
        found = self._member(organization, member, Permission.MEMBERS_MANAGE)
        self.body(self.delete_class)
        with self.unchanged(found):
            remove_member(member=found, actor=self.actor, source=Source.API)
        return Response(status=204)

    @contextlib.contextmanager
    def unchanged(self, member: Member) -> Iterator[None]:
        """A transaction with the member locked and If-Match checked; raises VersionMismatch.

        Locks the organization before the member, in the services' order, so that they can't deadlock.
        """
        with transaction.atomic():
            self.require_match(lambda: self._locked(member))
            yield

    def _locked(self, member: Member) -> object:
        layers.lock_organization(member.organization)
        return MemberOutput(layers.lock_member(member)).data

    def _member(self, organization: str, member: str, permission: Permission) -> Member:
        return get_member(self.actor, get_organization(self.actor, organization, permission), member)

"""An organization's members. Deleting means leaving: the row, its history and its choice stay (R14)."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Permission, get_member, get_organization
from accounts.models import Member
from config.paging import CursorPagination

from ..models import Source
from ..services.members import add_member, remove_member, update_member
from .base import ApiView
from .idempotency import idempotent
from .serializers import MemberChange, MemberInput, MemberOutput


class Members(ApiView):
    paginator = CursorPagination()

    def get(self, request: Request, organization: str) -> Response:
        found = get_organization(self.actor, organization, Permission.MEMBERS_VIEW)
        rows = Member.objects.filter(organization=found).select_related("user")
        members, following = self.paginator.page(request, rows)
        return Response({"results": MemberOutput(members, many=True).data, "next": following})

    @idempotent
    def post(self, _request: Request, organization: str) -> Response:
        found = get_organization(self.actor, organization, Permission.MEMBERS_MANAGE)
        made = add_member(organization=found, actor=self.actor, source=Source.API, **self.body(MemberInput))
        return self.created(MemberOutput(made).data, made.pk)


class MemberDetail(ApiView):
    def get(self, _request: Request, organization: str, member: str) -> Response:
        return Response(MemberOutput(self._member(organization, member, Permission.MEMBERS_VIEW)).data)

    def patch(self, _request: Request, organization: str, member: str) -> Response:
        found = self._member(organization, member, Permission.MEMBERS_MANAGE)
        changed = update_member(member=found, actor=self.actor, source=Source.API, **self.body(MemberChange))
        return Response(MemberOutput(changed).data)

    def delete(self, _request: Request, organization: str, member: str) -> Response:
        found = self._member(organization, member, Permission.MEMBERS_MANAGE)
        remove_member(member=found, actor=self.actor, source=Source.API)
        return Response(status=204)

    def _member(self, organization: str, member: str, permission: Permission) -> Member:
        return get_member(self.actor, get_organization(self.actor, organization, permission), member)

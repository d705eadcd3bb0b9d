"""Withdraw an external id of an organization or of a member (operators only)."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Permission, get_member, get_organization

from ..models import Source
from ..services.external_ids import withdraw_external_id
from .base import ApiView
from .serializers import WithdrawalInput


class OrganizationExternalId(ApiView):
    delete_class = WithdrawalInput

    def delete(self, _request: Request, organization: str, value: str) -> Response:
        found = get_organization(self.actor, organization, Permission.EXTERNAL_IDS)
        reason = self.body(self.delete_class)["reason"]
        withdraw_external_id(organization=found, external_id=value, actor=self.actor, source=Source.API, reason=reason)
        return Response(status=204)


class MemberExternalId(ApiView):
    delete_class = WithdrawalInput

    def delete(self, _request: Request, organization: str, member: str, value: str) -> Response:
        found = get_organization(self.actor, organization, Permission.EXTERNAL_IDS)
        person = get_member(self.actor, found, member)
        reason = self.body(self.delete_class)["reason"]
        withdraw_external_id(
            organization=found, member=person, external_id=value, actor=self.actor, source=Source.API, reason=reason
        )
        return Response(status=204)

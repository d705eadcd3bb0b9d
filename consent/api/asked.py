"""How often an organization was asked about, by whom, and what its own layer answered."""

import datetime as dt
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Permission, get_organization

from ..models import ReasonCode
from ..presentation import asked
from .base import ApiView
from .fields import Input, OneOf, Output
from .paging import WholeList
from .vocabularies import ASKERS


class AskedOutput(Output):
    about = "How many questions of one day and asker the organization's own layer answered alike."

    day = serializers.DateField(help_text="The day, in UTC.")
    asker = OneOf(choices=ASKERS, help_text="Who asked.")
    api_key = serializers.UUIDField(
        source="key", allow_null=True, help_text="The id of the key that asked; null: not told, or somebody signed in."
    )
    allowed = serializers.BooleanField(help_text="What the organization's own layer answered, whatever a member chose.")
    reason = OneOf(source="reason_code", choices=ReasonCode.values, help_text="Why that layer answered so.")
    questions = serializers.IntegerField(help_text="How many questions.")


class AskedQuery(Input):
    since = serializers.DateField(required=False, help_text="From this day on; left out: 30 days, today included.")
    until = serializers.DateField(required=False, help_text="Up to this day, it included; left out: today.")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        until = values.get("until") or timezone.now().astimezone(dt.UTC).date()
        since = values.get("since") or until - dt.timedelta(days=asked.DAYS - 1)
        if since > until:
            raise serializers.ValidationError({"since": _("Give a day that is not after “until”.")})
        return {"since": since, "until": until}


class QuestionsAsked(ApiView):
    query_class = AskedQuery
    paginator = WholeList()

    def get(self, request: Request, organization: str) -> Response:
        found = get_organization(self.actor, organization, Permission.CONSENT_VIEW)
        counts = asked.counts_of(found, **self.params, viewer=self.actor, by_day=True)
        shown, following = self.paginator.whole(request, counts)
        return Response({"results": AskedOutput(shown, many=True).data, "next": following})

"""The views to which decisions are compared; see benchmarks.naive."""

import hashlib
import hmac
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.utils import timezone
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import ApiKey, Member, Organization, User
from consent import rules
from consent.models import PrivacySetting


def constant(_request: HttpRequest) -> JsonResponse:
    """The baseline (floor): the least that the framework and the server cost."""
    response = JsonResponse({"allowed": False})
    response.headers["Content-Length"] = str(len(response.content))
    return response


# Looks the key up with the ORM and creates objects for user and key, as a tutorial would.
class KeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Any, Any]:
        _scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        digest = hmac.new(settings.API_KEY_PEPPER.encode(), text.encode(), hashlib.sha256).hexdigest()
        try:
            key = ApiKey.objects.get(prefix=text[:12], hash=digest)
        except ApiKey.DoesNotExist:
            raise AuthenticationFailed from None
        return User(is_active=True), key


class QuestionSerializer(serializers.Serializer[Any]):
    organization = serializers.UUIDField()
    member = serializers.UUIDField()
    product = serializers.CharField()
    collected_at = serializers.DateTimeField(required=False)


class DecisionSerializer(serializers.Serializer[Any]):
    allowed = serializers.BooleanField()
    reason = serializers.CharField()
    decided_at = serializers.DateTimeField()


class Decision(APIView):
    authentication_classes = [KeyAuthentication]

    def post(self, request: Request) -> Response:
        question = QuestionSerializer(data=request.data)
        question.is_valid(raise_exception=True)
        return Response(DecisionSerializer(decide(question.validated_data)).data)


def decide(asked: dict[str, Any]) -> dict[str, Any]:
    """One decision by the ORM, with a query for each row it needs."""
    try:
        organization = Organization.objects.get(pk=asked["organization"])
        member = organization.members.get(pk=asked["member"])
    except (Organization.DoesNotExist, Member.DoesNotExist):
        raise NotFound from None
    settings_of = PrivacySetting.objects.filter(organization=organization, product=asked["product"])
    own = settings_of.filter(member=None).first()
    theirs = PrivacySetting.objects.filter(member=member, product=asked["product"]).first()
    decision = rules.resolve(
        rules.Layers(
            now=timezone.now(),
            collected_at=asked.get("collected_at"),
            first_event_at=organization.created_at,
            organization=own.state if own else rules.State(),
            membership=rules.Membership(member.joined_at, member.left_at),
            member=theirs.state if theirs else rules.MEMBER_START,
            member_told=True,
        )
    )
    return {"allowed": decision.allowed, "reason": decision.reason, "decided_at": timezone.now()}


class Batch(APIView):
    """A batch of decisions, one after the other."""

    authentication_classes = [KeyAuthentication]

    def post(self, request: Request) -> Response:
        questions = QuestionSerializer(data=request.data["items"], many=True)
        questions.is_valid(raise_exception=True)
        decided = [decide(asked) for asked in questions.validated_data]
        return Response({"decisions": DecisionSerializer(decided, many=True).data})


urlpatterns = [
    path("healthz", constant),
    path("constant/", constant),
    path("decision/", Decision.as_view()),
    path("batch/", Batch.as_view()),
]

"""Asked and answered on an organization's overview."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, Organization
from consent.models import PEOPLE, AskedCount
from tests.support.cast import Cast
from tests.support.console import opted_out_by_owner, signed_in, url
from tests.support.keys import issue_key

pytestmark = pytest.mark.django_db


def overview(client: Client, cast: Cast) -> str:
    return re.sub(r"\s+", " ", client.get(url(cast, "overview")).content.decode())


def count(organization: Organization, questions: int, asker: Any = PEOPLE, *, allowed: bool = False) -> None:
    reason = "plan_default" if allowed else "organization_opted_out"
    AskedCount.objects.create(
        organization=organization, day=timezone.now().date(), asker=asker, allowed=allowed, reason_code=reason,
        questions=questions,
    )  # fmt: skip


def test_overview__nobody_asked__says_so(cast: Cast) -> None:
    page = overview(signed_in(cast, "owner"), cast)
    assert "Nobody has asked whether this data may be used." in page
    assert "When whole files are filtered, nobody asks a question" in page


def test_overview__asked__how_often_by_whom_with_what_answer(cast: Cast) -> None:
    opted_out_by_owner(cast)
    own: ApiKey = issue_key("Sync", ["decisions:read"], organization=cast.labs)[0]
    count(cast.labs, 12_000, issue_key("secret builder", ["decisions:read"])[0].pk)
    count(cast.labs, 400, own.pk)
    count(cast.labs, 8, allowed=True)
    count(cast.brage, 77)
    page = overview(signed_in(cast, "auditor"), cast)
    assert "Asked about 12,408 times in 30 days. Your settings answered yes to 8 and no to 12,400." in page
    assert re.search(r"Le Chat: since [^<]+ your setting has answered no\.", page)
    assert "Sync" in page and "The provider" in page and "People who are signed in" in page
    assert "secret builder" not in page
    assert "secret builder" in overview(signed_in(cast, "operator"), cast)


def test_overview__questions_are_not_counted__says_so(cast: Cast, settings: Any) -> None:
    settings.COUNT_QUESTIONS = False
    assert "Questions are not counted here." in overview(signed_in(cast, "owner"), cast)

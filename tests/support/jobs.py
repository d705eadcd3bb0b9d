"""Helpers for tests of bulk jobs: operators, organizations in a known state, and running a job to its end."""

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from factory import Iterator

from accounts.access import Actor
from accounts.models import Organization, User
from consent import verification
from consent.jobs import actions, engine
from consent.jobs.selection import Selection
from consent.models import BulkJob, ConsentEvent, PrivacySetting
from consent.services import choices, plans
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.factories import OPERATOR, OrganizationFactory, UserFactory

IN, OUT = "opted_in", "opted_out"


class Team:
    """Two operators: one makes jobs, the other may approve them."""

    def __init__(self) -> None:
        self.author: User = UserFactory(email=OPERATOR, name="Odin Eriksen", operator=True)
        self.second: User = UserFactory(email="frigg@provider.example", name="Frigg Dahl", operator=True)
        self.actor = Actor.from_user(self.author, confirmed=True)
        self.other = Actor.from_user(self.second, confirmed=True)

    def organizations(self, number: int, plan: str = "le_chat_free") -> list[Organization]:
        names = Iterator([f"Hall {n}" for n in range(number)])
        return OrganizationFactory.create_batch(number, name=names, plan=plan, actor=self.actor)

    def choose(self, organization: Organization, choice: str, **changes: Any) -> PrivacySetting:
        wish: dict[str, Any] = {"surface": LE_CHAT_CONSOLE, "source": "admin", "reason": "as agreed"} | changes
        return choices.choose(
            **{"organization": organization, "choice": choice, "actor": self.actor} | wish, version_required=False
        )

    def move(self, organization: Organization, plan: str) -> PrivacySetting:
        return plans.subscribe(organization=organization, plan=plans.get_plan(plan), actor=self.actor, source="admin")

    def previewed(self, choice: str, organizations: Iterable[Organization] | None = None, **changes: Any) -> BulkJob:
        chosen = Selection(everything=True) if organizations is None else named(organizations)
        wish: dict[str, Any] = {"surface": LE_CHAT_CONSOLE, "source": "admin", "reason": "as agreed"} | changes
        return actions.preview_choice(choice=choice, selection=chosen, actor=self.actor, **wish)

    def previewed_default(self, plan: str, default: str) -> BulkJob:
        return actions.preview_default(
            plan=plans.get_plan(plan), default=default, actor=self.actor, source="admin", reason="new terms"
        )

    def previewed_undo(self, job: BulkJob) -> BulkJob:
        return actions.preview_undo(job=job, actor=self.actor, source="admin", reason="a mistake")

    def queued(self, job: BulkJob) -> BulkJob:
        job = actions.submit(job=job, actor=self.actor, digest=job.digest)
        if job.status == BulkJob.Status.AWAITING_APPROVAL:
            job = actions.approve(job=job, actor=self.other)
        return job

    def done(self, job: BulkJob) -> BulkJob:
        job = engine.run(engine.claim(self.queued(job)))
        assert job.status == BulkJob.Status.DONE
        return job


def named(organizations: Iterable[Organization]) -> Selection:
    return Selection(organizations=tuple(str(organization.pk) for organization in organizations))


def settings_of(organizations: Sequence[Organization], product: str = "le_chat") -> list[PrivacySetting]:
    """In the order of the organizations."""
    found = {
        setting.organization_id: setting
        for setting in PrivacySetting.objects.of_organizations().filter(organization__in=organizations, product=product)
    }
    return [found[organization.pk] for organization in organizations]


def choices_of(organizations: Sequence[Organization]) -> list[str]:
    return [setting.choice for setting in settings_of(organizations)]


def events_of(job: BulkJob) -> list[ConsentEvent]:
    return list(ConsentEvent.objects.filter(job=job).order_by("pk"))


def lapse(job: BulkJob) -> None:
    """Let the lease of a worker that has died expire."""
    BulkJob.objects.filter(pk=job.pk).update(leased_until=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))


def counts(job: BulkJob) -> tuple[int, int, int]:
    return job.changed, job.unchanged, job.refused


def assert_each_once(job: BulkJob) -> None:
    """Assert one event for each changed organization and no others, matching counts, and a ledger that verifies."""
    job = BulkJob.objects.get(pk=job.pk)
    events = events_of(job)
    subjects: list[uuid.UUID] = [event.organization_id for event in events]
    assert len(set(subjects)) == len(subjects) == job.changed
    assert sum(counts(job)) == job.cursor
    assert job.refused == job.rows.exclude(refusal="").count() == sum(job.refusals.values())
    assert verification.verify().problems == []

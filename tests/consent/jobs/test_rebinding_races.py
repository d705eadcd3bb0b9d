"""Races for an unused id: whoever is first gives it; a job that comes second continues with its other rows."""

import pytest

from accounts.models import Binding, Organization
from consent import verification
from consent.jobs import actions, engine
from consent.jobs.rebind_files import Rebinding
from consent.models import BulkJob
from consent.services import organizations
from consent.services.organizations import OrganizationDraft
from tests.support.concurrency import race
from tests.support.jobs import Team

pytestmark = pytest.mark.django_db(transaction=True)


def queued(team: Team, *wishes: tuple[str, str]) -> BulkJob:
    numbered = [Rebinding(n, *wish) for n, wish in enumerate(wishes, start=1)]
    return team.queued(actions.preview_rebind(wishes=numbered, actor=team.actor, source="admin", reason="Merged"))


@pytest.mark.parametrize("first", ["created", "changed", "another_job"])
def test_rebind__id_is_given_at_the_same_moment__row_refused_and_the_job_goes_on(
    first: str, transactional_db: None
) -> None:
    team = Team()
    acme, other, third = team.organizations(3)
    job = queued(team, ("new-1", str(acme.pk)), ("new-2", str(acme.pk)))
    by = {"actor": team.actor, "source": "admin"}
    another = engine.claim(queued(team, ("new-1", str(third.pk)))) if first == "another_job" else None
    job = engine.claim(job)

    def give() -> None:
        if first == "created":
            organizations.create_organization(draft=OrganizationDraft(name="N", external_id="new-1"), **by)
        elif first == "changed":
            organizations.update_organization(organization=other, external_id="new-1", **by)
        elif another is not None:
            assert engine.run(another).changed == 1

    race(give, lambda: engine.run(job))
    job = BulkJob.objects.get(pk=job.pk)
    assert (job.status, job.changed, job.refusals) == ("done", 1, {"changed_since": 1})
    assert Binding.objects.get(value="new-1").organization_id != acme.pk
    assert Organization.objects.get(pk=acme.pk).external_id == "new-2"
    assert verification.verify().problems == []

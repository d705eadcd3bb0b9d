"""`rebind_external_ids`: moves ids to other subjects, from a file, with a second operator's approval."""

from pathlib import Path
from typing import Any

import pytest

from accounts.models import Organization, OutgoingMessage
from tests.support.commands import ACTOR, database, run
from tests.support.factories import ActorFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db
SECOND = ("--actor", "frigg@provider.example")


def holder() -> Organization | None:
    return Organization.objects.identified_by("external:acct-1").first()


def test_command__asked_approved_run_and_undone(tmp_path: Path) -> None:

    UserFactory(email=SECOND[1], operator=True)
    OrganizationFactory.with_ids("acct-1", "acct-2", plan="le_chat_free", actor=ActorFactory(of_commands=True))
    file = tmp_path / "ids.csv"
    file.write_text("external_id,organization\nacct-1,external:acct-2\n")
    arguments = (str(file), "--reason", "Merged", *ACTOR)
    before = database()
    result = run("rebind_external_ids", *arguments)
    assert (result.code, "Say so with --yes" in result.err) == (2, True)
    result = run("rebind_external_ids", *arguments, "--yes", "--format", "json")
    assert (result.code, result.json["status"], result.json["kind"]) == (0, "awaiting_approval", "rebind")
    # The job, and the mail to who may approve it.
    made: dict[str, Any] = {"consent_bulkjob": [], "consent_rebindrow": [], "accounts_outgoingmessage": []}
    assert database() | made == before | made
    assert [mail.recipient for mail in OutgoingMessage.objects.all()] == [SECOND[1]]
    job = result.json["job"]
    assert run("job", "approve", job, *SECOND).code == 0
    assert run("job", "run", job).code == 0
    (named,) = Organization.objects.filter(external_id="acct-1")
    assert named == holder() and Organization.objects.identified_by("external:acct-2").get() == named
    assert run("undo_job", job, *ACTOR, "--yes", "--format", "json").code == 1  # a reason is needed
    result = run("undo_job", job, *ACTOR, "--yes", "--reason", "Wrong", "--format", "json")
    assert (result.code, result.json["status"]) == (0, "awaiting_approval")


def test_command__bad_rows__exit_1_naming_them_and_nothing_kept(tmp_path: Path) -> None:
    OrganizationFactory.with_ids("acct-1", plan="le_chat_free", actor=ActorFactory(of_commands=True))
    file = tmp_path / "ids.csv"
    file.write_text("external_id,organization\nacct-1,external:nobody\n,external:acct-1\n")
    before = database()
    result = run("rebind_external_ids", str(file), "--reason", "Merged", *ACTOR, "--yes")
    assert result.code == 1
    assert "row 2, column organization" in result.err and "row 3, column external_id" in result.err
    assert database() == before

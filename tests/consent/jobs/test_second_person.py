"""Approval needs a second person (R13): who may approve, what is approved, and how long it is valid."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import operators
from accounts.access import Actor, Forbidden
from accounts.models import ApiKey, Organization, Plan, User
from consent import verification
from consent.errors import Invalid
from consent.jobs import actions, engine, reports
from consent.models import BulkJob, JobStatus
from consent.services import credentials, layers, locks, organizations, plans
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE
from tests.support.factories import PASSWORD, ActorFactory, AuthenticatorFactory, UserFactory, long_standing
from tests.support.jobs import IN, OUT, Team, choices_of, counts, settings_of
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, refusal

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def third() -> Actor:
    return ActorFactory(user__email="hnoss@provider.example", user__name="Hnoss Holm")


def submitted(team: Team, by: Actor | None = None) -> BulkJob:
    team.organizations(3, "le_chat_teams")
    job = team.previewed(IN)
    return actions.submit(job=job, actor=by or team.actor, digest=job.digest)


def refuses(job: BulkJob, actor: Actor) -> None:
    with refusal(Forbidden):
        actions.approve(job=job, actor=actor)
    job = BulkJob.objects.get(pk=job.pk)
    assert (job.status, job.approver) == (JobStatus.AWAITING_APPROVAL, None)


# --- Who ---------------------------------------------------------------------------------------------------------


def test_submit__by_another_than_the_author__says_who_and_when(team: Team, third: Actor) -> None:
    job = submitted(team, by=team.other)
    assert (job.author, job.submitter) == (team.author, team.second)
    assert job.submitted_at is not None and job.submitted_at > job.created_at
    for involved in (team.actor, team.other, Actor.from_command(team.second)):
        refuses(job, involved)
    assert actions.approve(job=job, actor=third).approver == third.user


def test_submit__by_a_key__whoever_answers_for_it_does_not_approve(team: Team, third: Actor) -> None:
    key, _text = issue_key("Sync", [ApiKey.Scope.CONSENT_WRITE], issued_by=team.second)
    job = submitted(team, by=Actor.from_key(key))
    assert (job.submitter, job.submitter_key) == (team.second, key)
    refuses(job, team.other)
    ApiKey.objects.filter(pk=key.pk).update(issued_by=third.user)  # somebody else answers for it by now
    refuses(job, third)


def test_submit__by_a_key_that_nobody_answers_for__is_forbidden(team: Team) -> None:
    key, _text = issue_key("Sync", [ApiKey.Scope.CONSENT_WRITE])
    team.organizations(1)
    job = team.previewed(OUT)
    with refusal(Forbidden):
        actions.submit(job=job, actor=Actor.from_key(key), digest=job.digest)
    assert BulkJob.objects.get().status == JobStatus.PREVIEWED


def test_database__approver_who_submitted__is_refused(team: Team) -> None:
    job = submitted(team, by=team.other)
    with pytest.raises(IntegrityError, match="job_approver_is_not_submitter"), transaction.atomic():
        BulkJob.objects.filter(pk=job.pk).update(approver=team.second)
    with pytest.raises(IntegrityError, match="job_that_loosens_is_submitted"), transaction.atomic():
        BulkJob.objects.filter(pk=job.pk).update(submitter=None)


def new_factor(user: User) -> None:
    AuthenticatorFactory(user=user, type=Authenticator.Type.TOTP, data={"secret": "x"})


def set_and_save(**changes: Any) -> Callable[[User], None]:
    def change(user: User) -> None:
        user = User.objects.get(pk=user.pk)
        for name, value in changes.items():
            setattr(user, name, value)
        user.save()

    return change


def password_by_instance(user: User) -> None:
    user = User.objects.get(pk=user.pk)
    user.set_password("another one of nobody")
    user.save(update_fields=["password"])


def password_by_query(user: User) -> None:
    User.objects.filter(pk=user.pk).update(password=make_password("another one of nobody"))


def made_again(user: User) -> None:
    set_and_save(is_staff=False)(user)
    set_and_save(is_staff=True)(user)


def reactivated_by_query(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    User.objects.filter(pk=user.pk).update(is_active=True)


RENEWALS: dict[str, Callable[[User], None]] = {
    "a password set": password_by_instance,
    "a password set by query": password_by_query,
    "another address": set_and_save(email="frigg@elsewhere.example"),
    "a second factor added": new_factor,
    "made an operator again": made_again,
    "reactivated by query": reactivated_by_query,
}


@pytest.mark.parametrize("renewal", RENEWALS)
def test_approve__mark_or_credentials_newer_than_the_submission__is_forbidden(team: Team, renewal: str) -> None:
    job = submitted(team)
    RENEWALS[renewal](team.second)
    refuses(job, Actor.from_user(User.objects.get(pk=team.second.pk), confirmed=True))


@pytest.mark.parametrize("renewal", RENEWALS)
def test_approve__renewed_before_the_submission__goes(team: Team, renewal: str) -> None:
    RENEWALS[renewal](team.second)
    job = submitted(team)
    assert (
        actions.approve(job=job, actor=Actor.from_user(User.objects.get(pk=team.second.pk), confirmed=True)).approver
        == team.second
    )


@pytest.mark.parametrize("change", [{"name": "Frigg"}, {"last_login": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}])
def test_approve__name_or_sign_in_since__goes(team: Team, change: dict[str, Any]) -> None:
    job = submitted(team)
    set_and_save(**change)(team.second)
    assert actions.approve(job=job, actor=team.other).status == JobStatus.QUEUED


def test_check_password__stronger_hash_of_the_same__is_no_new_credential(team: Team, settings: Any) -> None:
    job = submitted(team)
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    person = User.objects.get(pk=team.second.pk)
    assert person.password.startswith("md5") and person.check_password(PASSWORD)
    assert User.objects.get(pk=person.pk).password.startswith("pbkdf2")
    person.save()
    assert actions.approve(job=job, actor=team.other).status == JobStatus.QUEUED


def test_approve__operator_made_after_the_submission__is_forbidden(team: Team) -> None:
    job = submitted(team)
    refuses(job, ActorFactory(user__email="new@provider.example", user__name="New"))


def test_operator__raw_mark_without_its_instant__is_refused_by_the_database(team: Team) -> None:
    person = UserFactory(email="ada@kvasir.example", name="Ada")
    with pytest.raises(IntegrityError, match="user_operator_has_instant"), transaction.atomic():
        QuerySet(User).filter(pk=person.pk).update(is_staff=True)


def test_approve__another_digest_than_was_seen__is_refused(team: Team) -> None:
    job = submitted(team)
    with refusal(Invalid, "digest", "digest"):
        actions.approve(job=job, actor=team.other, digest="0" * 64)
    assert actions.approve(job=job, actor=team.other, digest=job.digest).status == JobStatus.QUEUED


# --- What is approved is what runs -----------------------------------------------------------------------------------


def locked_and_unlocked(team: Team, organization: Organization) -> None:
    about: dict[str, Any] = {"organization": organization, "product": "le_chat", "actor": team.actor, "source": "admin"}
    locks.place_lock(reason="law", reference="1", **about)
    locks.lift_lock(reason="over", **about)


def closed_and_reopened(team: Team, organization: Organization) -> None:
    about: dict[str, Any] = {
        "organization": organization,
        "actor": team.actor,
        "source": "admin",
        "reason": "a mistake",
    }
    organizations.close_organization(**about)
    organizations.reopen_organization(**about)


def ended_and_restarted(team: Team, organization: Organization) -> None:
    about: dict[str, Any] = {"organization": organization, "actor": team.actor, "source": "admin"}
    plans.end_subscription(product="le_chat", **about)
    plans.subscribe(plan=plans.get_plan("le_chat_pro"), **about)


CHANGES: dict[str, Callable[[Team, Organization], Any]] = {
    "moved to Enterprise": lambda team, o: team.move(o, "le_chat_enterprise"),
    "moved to another plan in by default": lambda team, o: team.move(o, "le_chat_free"),
    "moved away and back": lambda team, o: [team.move(o, key) for key in ("le_chat_teams", "le_chat_pro")],
    "locked and unlocked": locked_and_unlocked,
    "closed and reopened": closed_and_reopened,
    "ended and started again": ended_and_restarted,
    "default of the plan out and in again": lambda team, _o: [
        team.done(team.previewed_default("le_chat_pro", default)) for default in (OUT, IN)
    ],
}
WAITED = ("approval", "a worker", "paused", "failed", "killed")


def waiting(team: Team, job: BulkJob, for_what: str, change: Callable[[], object]) -> BulkJob:
    """The job submitted; the change comes while it waits for that."""
    job = actions.submit(job=job, actor=team.actor, digest=job.digest, accept_drift=True)
    if job.status == JobStatus.AWAITING_APPROVAL:
        if for_what == "approval":
            change()
        job = actions.approve(job=job, actor=team.other)
    if for_what == "a worker":
        change()
    elif for_what == "paused":
        actions.pause(job=job, actor=team.actor)
        change()
        job = actions.resume(job=job, actor=team.actor)
    elif for_what == "failed":
        engine.claim(job)
        BulkJob.objects.filter(pk=job.pk).update(status=JobStatus.FAILED, leased_until=None)
        change()
        job = actions.resume(job=job, actor=team.actor)
    elif for_what == "killed":
        engine.claim(job)
        change()
        BulkJob.objects.filter(pk=job.pk).update(leased_until=None)
    return BulkJob.objects.get(pk=job.pk)


def finished(job: BulkJob) -> BulkJob:
    job = engine.run(engine.claim(job))
    assert job.status == JobStatus.DONE and sum(counts(job)) == job.matched
    assert verification.verify().problems == []
    return job


@pytest.mark.parametrize("for_what", WAITED)
@pytest.mark.parametrize("change", CHANGES)
def test_opt_in__row_changed_since_the_preview__is_refused_and_listed(team: Team, change: str, for_what: str) -> None:
    made = team.organizations(3, "le_chat_pro")
    only = made[:1]
    job = team.previewed(IN, made)
    job = finished(waiting(team, job, for_what, lambda: CHANGES[change](team, only[0])))
    touched = made if change.startswith("default") else only
    assert counts(job) == (3 - len(touched), 0, len(touched))
    assert job.refusals == {"changed_since": len(touched)}
    assert choices_of(made) == ["default"] * len(touched) + [IN] * (3 - len(touched))
    listed = list(reports.listed_rows(job, refused=True))
    assert [(row.organization, row.refusal) for row in listed] == [(str(o.pk), "changed_since") for o in touched]


def test_opt_in__plan_out_by_then__lets_nothing_be_used(team: Team) -> None:
    """Without versions of rows the opt-in of a Pro organization would hold on Enterprise."""
    [organization] = team.organizations(1, "le_chat_pro")
    job = team.previewed(IN, [organization])
    job = waiting(team, job, "approval", lambda: team.move(organization, "le_chat_enterprise"))
    finished(job)
    assert [(s.choice, s.allowed) for s in settings_of([organization])] == [("default", False)]


@pytest.mark.parametrize("for_what", ["a worker", "paused", "failed", "killed"])
def test_opt_out__row_changed_since_the_preview__runs_all_the_same(team: Team, for_what: str) -> None:
    made = team.organizations(2, "le_chat_pro")
    job = team.previewed(OUT, made)
    job = finished(waiting(team, job, for_what, lambda: team.choose(made[0], IN)))
    assert (counts(job), choices_of(made)) == ((2, 0, 0), [OUT, OUT])


def test_wishes_of_both_kinds__changed_since__only_what_loosens_is_refused(team: Team) -> None:
    made = team.organizations(2, "le_chat_pro")
    wishes = {made[0].pk: IN, made[1].pk: OUT}
    job = actions.preview_choice(
        surface=LE_CHAT_CONSOLE, actor=team.actor, source="admin", reason="contracts", wishes=wishes
    )
    job = waiting(team, job, "approval", lambda: [team.move(o, "le_chat_free") for o in made])
    job = finished(job)
    assert (counts(job), choices_of(made)) == ((1, 0, 1), ["default", OUT])


def test_opt_in__another_product_changed__is_no_change(team: Team) -> None:
    [organization] = team.organizations(1, "le_chat_teams")
    job = team.previewed(IN, [organization])
    change = lambda: team.choose(organization, OUT, surface=AI_STUDIO_CONSOLE)  # noqa: E731
    assert counts(finished(waiting(team, job, "approval", change))) == (1, 0, 0)


@pytest.mark.parametrize("for_what", WAITED)
def test_undo_that_loosens__row_changed_since_its_preview__is_refused(team: Team, for_what: str) -> None:
    made = team.organizations(2, "le_chat_pro")
    undo = team.previewed_undo(team.done(team.previewed(OUT, made)))
    assert undo.loosens
    undo = finished(waiting(team, undo, for_what, lambda: locked_and_unlocked(team, made[0])))
    assert (counts(undo), undo.refusals) == ((1, 0, 1), {"changed_since": 1})
    assert choices_of(made) == [OUT, "default"]


def test_undo_that_tightens__row_locked_since_its_preview__runs(team: Team) -> None:
    made = team.organizations(2, "le_chat_teams")
    undo = team.previewed_undo(team.done(team.previewed(IN, made)))
    assert not undo.loosens
    undo = finished(waiting(team, undo, "a worker", lambda: locked_and_unlocked(team, made[0])))
    assert (counts(undo), choices_of(made)) == ((2, 0, 0), ["default"] * 2)


def test_undo_that_loosens__without_a_reason__is_refused_and_not_kept(team: Team) -> None:
    team.organizations(1)
    job = team.done(team.previewed(OUT))
    with refusal(Invalid, "required", "reason"):
        actions.preview_undo(job=job, actor=team.actor, source="admin")
    assert BulkJob.objects.count() == 1


@pytest.mark.parametrize("for_what", ["approval", "a worker", "paused"])
def test_default_that_loosens__set_by_another_job_since__is_left_as_it_is(team: Team, for_what: str) -> None:
    made = team.organizations(2, "le_chat_pro")
    team.done(team.previewed_default("le_chat_pro", OUT))
    loosening, before = team.previewed_default("le_chat_pro", IN), settings_of(made)
    change = lambda: [team.done(team.previewed_default("le_chat_pro", each)) for each in (IN, OUT)]  # noqa: E731
    job = finished(waiting(team, loosening, for_what, change))
    assert (counts(job), job.refusals) == ((0, 0, 2), {"changed_since": 2}) and job.error
    assert Plan.objects.get(pk="le_chat_pro").training_default == OUT
    assert [s.allowed for s in settings_of(made)] == [s.allowed for s in before] == [False, False]


def test_default_that_loosens__nobody_subscribed_and_set_since__says_so(team: Team) -> None:
    team.done(team.previewed_default("le_chat_student", OUT))
    loosening = team.previewed_default("le_chat_student", IN)
    change = lambda: team.done(team.previewed_default("le_chat_student", OUT))  # noqa: E731
    job = finished(waiting(team, loosening, "approval", change))
    assert job.error and Plan.objects.get(pk="le_chat_student").training_default == OUT


# --- Until when ------------------------------------------------------------------------------------------------------


ENDS: dict[str, Callable[[User], None]] = {
    "deactivated": set_and_save(is_active=False),
    "no operator any more": set_and_save(is_staff=False),
    "made an operator again": made_again,
}


@pytest.mark.parametrize("role", ["author", "submitter", "approver"])
@pytest.mark.parametrize("end", ENDS)
def test_run__somebody_may_no_longer__what_loosens_stops_and_what_tightens_goes_on(
    team: Team, third: Actor, role: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, name, 2)
    made = team.organizations(6, "le_chat_teams")
    wishes = {organization.pk: OUT if n % 2 else IN for n, organization in enumerate(made)}
    job = actions.preview_choice(surface=LE_CHAT_CONSOLE, actor=team.actor, source="admin", reason="x", wishes=wishes)
    job = actions.submit(job=job, actor=team.other, digest=job.digest)
    job = actions.approve(job=job, actor=third)
    left: Iterator[None] = iter([None])

    def leave(done: BulkJob) -> None:
        if next(left, done) is None:
            ENDS[end](getattr(done, role))

    job = engine.run(engine.claim(job), on_chunk=leave)
    assert (job.status, counts(job)) == (JobStatus.DONE, (4, 0, 2))
    assert job.refusals == {"authority_ended": 2}
    assert choices_of(made) == [IN, OUT, "default", OUT, "default", OUT]
    assert verification.verify().problems == []


def test_run__key_that_wrote_it_is_revoked__what_loosens_stops(team: Team) -> None:
    key, _text = issue_key("Sync", [ApiKey.Scope.CONSENT_WRITE], issued_by=team.author)
    team.organizations(2, "le_chat_teams")
    job = submitted(team, by=Actor.from_key(key))
    job = actions.approve(job=job, actor=team.other)
    credentials.revoke_key(key=key, actor=Actor.on_machine(), source="command")
    job = engine.run(engine.claim(job))
    assert counts(job) == (0, 0, job.matched) and set(job.refusals) == {"authority_ended"}


def test_default_that_loosens__approver_gone_before_it_starts__is_not_set(team: Team) -> None:
    team.done(team.previewed_default("le_chat_pro", OUT))
    job = team.queued(team.previewed_default("le_chat_pro", IN))
    ENDS["deactivated"](team.second)
    job = finished(job)
    assert job.error and Plan.objects.get(pk="le_chat_pro").training_default == OUT


def test_run__everybody_left__what_tightens_runs_to_its_end(team: Team) -> None:
    made = team.organizations(3)
    job = team.queued(team.previewed(OUT))
    for person in (team.author, team.second):
        ENDS["deactivated"](person)
    assert (counts(finished(job)), choices_of(made)) == ((3, 0, 0), [OUT] * 3)


# --- What the second operator sees -----------------------------------------------------------------------------------


def test_summary__counts_by_plan_and_by_now_and_then(team: Team) -> None:
    teams, pro = team.organizations(2, "le_chat_teams"), team.organizations(3, "le_chat_pro")
    team.choose(pro[0], OUT)
    job = team.previewed(IN, [*teams, *pro])
    told = {
        (r["plan"], r["before"], r["after"], r["used_before"], r["used_after"], r["outcome"]): r["count"]
        for r in job.summary
    }
    assert told == {
        ("le_chat_teams", "default", IN, False, True, "change"): 2,
        ("le_chat_pro", "default", IN, True, True, "change"): 2,
        ("le_chat_pro", OUT, OUT, False, False, "organization_opted_out"): 1,
    }
    rows = list(reports.listed_rows(job, refused=False))
    assert [row.name for row in rows] == [o.name for o in [*teams, *pro]]
    assert [(row.plan, row.before, row.after) for row in rows[:1]] == [("le_chat_teams", "default", IN)]


def test_require_second_person__unknown_instant__is_doubt_and_forbidden(team: Team) -> None:
    with changes_nothing(), transaction.atomic(), pytest.raises(Forbidden):
        operators.require_second_person(team.second, asked_at=None, involved=())


def test_unchanged_since__is_the_latest_of_mark_password_and_factors(team: Team) -> None:
    person = long_standing(team.second)
    assert operators.unchanged_since(person).year == 2001
    at = timezone.now()
    AuthenticatorFactory(user=person, type=Authenticator.Type.WEBAUTHN, data={}, created_at=at)
    assert operators.unchanged_since(person) == at


def test_hold_plans__of_all_products__reads_them_as_they_are(team: Team) -> None:
    with transaction.atomic():
        layers.hold_plans()
        assert Plan.objects.get(pk="le_chat_pro").training_default == IN

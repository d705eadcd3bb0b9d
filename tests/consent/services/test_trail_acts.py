"""Each action that gives, changes or ends access writes exactly the expected access events, and no secret."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.test import Client

from accounts.access import Actor
from accounts.models import ApiKey, Invitation, KeyScope, Member, OutgoingMessage, User
from consent.console import recorded
from consent.delivery import endpoints
from consent.delivery.sending import ReceiverResponse
from consent.jobs import actions
from consent.jobs.selection import Selection
from consent.models import ACCESS_KINDS, ConsentEvent, EventKind, OperatorRequest, WebhookEndpoint
from consent.services import (
    addresses,
    credentials,
    erasure,
    exports,
    invitations,
    members,
    operator_requests,
    people,
    plans,
    sign_in,
    trail,
    webhooks,
)
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.asking import confirm
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.factories import PASSWORD, AuthenticatorFactory, UserFactory, long_standing

pytestmark = pytest.mark.django_db
NEW = "another password of nobody in particular"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture(autouse=True)
def addresses_are_not_looked_up(settings: Any) -> None:
    settings.DEBUG = True


def sure(person: User) -> Actor:
    return Actor.from_user(person, confirmed=True)


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def confirmed(person: User) -> Client:
    """Signed in, and just asked who is there."""
    client = client_of(person)
    assert client.post("/account/confirm/", {"password": PASSWORD}).status_code == 302
    return client


def code(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time()))))


# --- The acts -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Act:
    """`does`: prepares, and returns what does it. `leaves`: (kind, before, after) of each event, in order."""

    does: Callable[[Cast, Path], Callable[[], Any]]
    leaves: tuple[tuple[str, str, str], ...]
    told: str | None = None  # the organization, if one is told
    by: str | None = None  # whose act it is; None: the machine's
    about: str = ""  # whose id the event has for its target; "": see the act's own
    kind: str = "user"  # of actor; of the machine's own, "system" or "command"


def history_as_a_file(cast: Cast, _path: Path) -> Callable[[], Any]:
    client = client_of(cast.auditor)
    return lambda: b"".join(client.get(f"/o/{cast.labs.pk}/history/csv/"))


def history_taken_by_the_provider(cast: Cast, _path: Path) -> Callable[[], Any]:
    client = client_of(cast.operator)
    return lambda: b"".join(client.get(f"/o/{cast.labs.pk}/history/jsonl/"))


def own_choices(cast: Cast, _path: Path) -> Callable[[], Any]:
    client = client_of(cast.member)
    return lambda: client.get("/settings/data-controls/mine.json")


def rows_of_a_job(cast: Cast, _path: Path) -> Callable[[], Any]:
    job = previewed(cast)
    client = client_of(cast.operator)
    return lambda: b"".join(client.get(f"/admin/consent/bulkjob/{job.pk}/files/refused.csv"))


def rows_by_command(cast: Cast, _path: Path) -> Callable[[], Any]:
    job = previewed(cast)
    return lambda: run("job", "rows", str(job.pk))


def previewed(cast: Cast) -> Any:
    selection = Selection(plan=("le_chat_pro",))
    return actions.preview_choice(
        surface=LE_CHAT_CONSOLE, choice="opted_out", selection=selection, actor=cast.provider, source="admin"
    )


def table(what: str) -> Callable[[Cast, Path], Callable[[], Any]]:
    return lambda _cast, path: lambda: run("export", what, str(path / "file.csv"))


def state(_cast: Cast, path: Path) -> Callable[[], Any]:
    return lambda: run("export_state", str(path / "state.jsonl"))


def authenticator_app(cast: Cast, _path: Path) -> Callable[[], Any]:
    client = confirmed(cast.owner)
    page = client.get("/account/second-factor/totp/activate/").content.decode()
    secret = re.search(r'id="secret">\s*([A-Z2-7]+)\s*<', page)
    assert secret
    return lambda: client.post("/account/second-factor/totp/activate/", {"code": code(secret[1])})


def authenticator_app_removed(cast: Cast, _path: Path) -> Callable[[], Any]:
    TOTP.activate(cast.owner, SECRET)
    RecoveryCodes.activate(cast.owner)
    client = confirmed(cast.owner)
    return lambda: client.post("/account/second-factor/totp/deactivate/")


def new_recovery_codes(cast: Cast, _path: Path) -> Callable[[], Any]:
    TOTP.activate(cast.owner, SECRET)
    RecoveryCodes.activate(cast.owner)
    client = confirmed(cast.owner)
    return lambda: client.post("/account/second-factor/recovery-codes/generate/")


def passkey_removed(cast: Cast, _path: Path) -> Callable[[], Any]:
    TOTP.activate(cast.member, SECRET)
    passkey = AuthenticatorFactory(user=cast.member, type="webauthn", data={"name": "Daily phone"})
    client = confirmed(cast.member)
    return lambda: client.post(f"/account/second-factor/webauthn/keys/{passkey.pk}/remove/")


def password_changed(cast: Cast, _path: Path) -> Callable[[], Any]:
    client = client_of(cast.auditor)
    return lambda: client.post("/account/password/", {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW})


def password_set(cast: Cast, _path: Path) -> Callable[[], Any]:
    User.objects.filter(pk=cast.auditor.pk).update(password=make_password(None))
    client = client_of(User.objects.get(pk=cast.auditor.pk))
    return lambda: client.post("/account/password/set/", {"password1": NEW, "password2": NEW})


def password_reset(cast: Cast, _path: Path) -> Callable[[], Any]:
    Client().post("/account/reset/", {"email": cast.member.email})
    link = re.search(r"http://testserver(/account/reset/\S+)", OutgoingMessage.objects.latest("pk").body)
    assert link
    client = client_of(cast.owner)  # somebody else is signed in there
    form = client.get(link[1])["Location"]
    return lambda: client.post(form, {"password1": NEW, "password2": NEW})


# --- Keys ---


def key_of(cast: Cast, by: User | None = None) -> ApiKey:
    return credentials.issue_key(
        name="Nightly sync", scopes=["decisions:read"], organization=cast.labs, actor=sure(by or cast.admin),
        source="console",
    ).key  # fmt: skip


def key_page(do: str, **more: Any) -> Callable[[Cast, Path], Callable[[], Any]]:
    def prepare(cast: Cast, _path: Path) -> Callable[[], Any]:
        client, sent = client_of(cast.owner), {"do": do, **more}
        if do != "create":
            sent["key"] = str(key_of(cast).pk)
        return lambda: confirm(client, f"/o/{cast.labs.pk}/settings/", sent)

    return prepare


def key_revoked_twice(cast: Cast, _path: Path) -> Callable[[], Any]:
    key = key_of(cast)

    def revoke() -> None:
        for _turn in range(2):
            credentials.revoke_key(key=key, actor=sure(cast.owner), source="console")

    return revoke


def operator_key(cast: Cast, _path: Path) -> Callable[[], Any]:
    scopes = list(KeyScope.values)
    return lambda: credentials.issue_key(name="Backend", scopes=scopes, actor=sure(cast.operator), source="admin")


def key_by_command(cast: Cast, _path: Path) -> Callable[[], Any]:
    return lambda: run("create_api_key", "Backend", "--scope", "decisions:read", "--organization", str(cast.labs.pk))


def admin_leaves(cast: Cast, _path: Path) -> Callable[[], Any]:
    key_of(cast)
    hook_of(cast, cast.admin)
    member = Member.objects.get(user=cast.admin)
    return lambda: members.remove_member(member=member, actor=sure(cast.owner), source="console")


def admin_demoted_by_the_provider(cast: Cast, _path: Path) -> Callable[[], Any]:
    key_of(cast)
    member = Member.objects.get(user=cast.admin)
    return lambda: members.update_member(member=member, role="auditor", actor=sure(cast.operator), source="admin")


# --- Plans ---


def plan_made(cast: Cast, _path: Path) -> Callable[[], Any]:
    new = {"key": "le_chat_team_plus", "product": "le_chat", "name": "Le Chat Team Plus"}
    return lambda: plans.create_plan(**new, actor=sure(cast.operator), source="admin")


def plan_edited(cast: Cast, _path: Path) -> Callable[[], Any]:
    words: dict[str, Any] = {"name": "Le Chat Team", "description": "For teams."}
    plan = plans.get_plan("le_chat_teams")
    return lambda: plans.edit_plan(plan=plan, **words, actor=sure(cast.operator), source="admin")


# --- Webhooks and invitations, on a page of the console each ---


def hook_of(cast: Cast, by: User | None = None) -> WebhookEndpoint:
    return webhooks.create_endpoint(
        organization=cast.labs, url="https://receiver.example/hook?token=1", actor=sure(by or cast.owner),
        source="console",
    )  # fmt: skip


def webhook_page(do: str, **more: str) -> Callable[[Cast, Path], Callable[[], Any]]:
    def prepare(cast: Cast, _path: Path) -> Callable[[], Any]:
        client, sent = client_of(cast.admin), {"do": do, **more}
        if do != "create":
            sent["webhook"] = str(hook_of(cast).pk)
        if do == "resume":
            client.post(f"/o/{cast.labs.pk}/webhooks/", {**sent, "do": "pause"})
        return lambda: confirm(client, f"/o/{cast.labs.pk}/webhooks/", sent)

    return prepare


def webhook_service(do: Callable[..., Any], **changes: Any) -> Callable[[Cast, Path], Callable[[], Any]]:
    def prepare(cast: Cast, _path: Path) -> Callable[[], Any]:
        endpoint = hook_of(cast)
        return lambda: do(endpoint=endpoint, actor=sure(cast.admin), source="api", **changes)

    return prepare


def provider_webhook(cast: Cast, _path: Path) -> Callable[[], Any]:
    return lambda: webhooks.create_endpoint(
        organization=None, url="https://receiver.example/", actor=cast.provider, source="admin"
    )


def webhook_gives_up(cast: Cast, _path: Path) -> Callable[[], Any]:
    turn = endpoints._Turn(hook_of(cast), sender=None)  # type: ignore[arg-type]
    gone = ReceiverResponse(status=410, error="", latency_ms=1, start="")
    return lambda: turn._note(endpoints._after_failure(turn.endpoint, "msg", gone))


def invited(cast: Cast) -> str:
    """The secret of the link."""
    secrets: list[str] = []
    invitations.invite(
        organization=cast.labs, email="new@kvasir.example", role="auditor", actor=sure(cast.owner),
        source="console", link=lambda secret: secrets.append(secret) or "a link",  # type: ignore[func-returns-value]
    )  # fmt: skip
    return secrets[0]


def invites(cast: Cast, _path: Path) -> Callable[[], Any]:
    client = client_of(cast.admin)
    return lambda: client.post(
        f"/o/{cast.labs.pk}/members/", {"do": "invite", "email": "new@kvasir.example", "role": "auditor"}
    )


def withdraws(cast: Cast, _path: Path) -> Callable[[], Any]:
    invited(cast)
    invitation = Invitation.objects.get()
    return lambda: invitations.withdraw(invitation=invitation, actor=sure(cast.admin), source="console")


def erased(cast: Cast, _path: Path) -> Callable[[], Any]:
    return lambda: erasure.erase_person(person=cast.member, actor=cast.provider, source="admin")


def accepts(cast: Cast, _path: Path) -> Callable[[], Any]:
    invited(cast)
    invitation, person = Invitation.objects.get(), cast.outsider
    Invitation.objects.update(email=person.email)
    invitation.refresh_from_db()
    return lambda: invitations.accept(invitation=invitation, user=person)


# --- Operators, people and their addresses ---


def another_operator(name: str) -> User:
    return UserFactory(email=f"{name}@provider.example", name=name.title(), operator=True, old=True)


def request(cast: Cast, kind: str, **about: Any) -> OperatorRequest:
    """Asked by another than the operator of the cast, who may confirm it."""
    long_standing(cast.operator)
    asker = sure(another_operator("frigg"))
    return operator_requests.ask(kind=kind, actor=asker, reason="as agreed", **about)


def link(_user: User) -> str:
    return "a link"


def confirms(kind: str, about: Callable[[Cast], dict[str, Any]]) -> Callable[[Cast, Path], Callable[[], Any]]:
    def prepare(cast: Cast, _path: Path) -> Callable[[], Any]:
        asked = request(cast, kind, **about(cast))
        return lambda: operator_requests.confirm(request=asked, actor=sure(cast.operator), password_link=link)

    return prepare


def asks(cast: Cast, _path: Path) -> Callable[[], Any]:
    wish = {"kind": "operator", "email": "new@provider.example", "reason": "as agreed"}
    return lambda: operator_requests.ask(actor=sure(cast.operator), **wish)


def declines(cast: Cast, _path: Path) -> Callable[[], Any]:
    asked = request(cast, "link", subject=another_operator("tyr"))
    return lambda: operator_requests.decline(request=asked, actor=sure(cast.operator))


def with_a_factor(person: User) -> User:
    TOTP.activate(person, SECRET)
    return person


def former_operator() -> User:
    person = another_operator("loki")
    User.objects.filter(pk=person.pk).update(is_active=False)
    return User.objects.get(pk=person.pk)


def person_service(
    do: Callable[..., Any], whom: Callable[[Cast], User], **more: Any
) -> Callable[[Cast, Path], Callable[[], Any]]:
    def prepare(cast: Cast, _path: Path) -> Callable[[], Any]:
        person = whom(cast)
        return lambda: do(person=person, actor=sure(cast.operator), **more)

    return prepare


def person_added(cast: Cast, _path: Path) -> Callable[[], Any]:
    wish = {"email": "new@kvasir.example", "name": "Nils Ny", "password_link": link}
    return lambda: people.create_person(actor=sure(cast.operator), **wish)


def person_back(cast: Cast, _path: Path) -> Callable[[], Any]:
    User.objects.filter(pk=cast.member.pk).update(is_active=False)
    return lambda: people.reactivate(person=cast.member, actor=sure(cast.operator))


def own_address(cast: Cast, _path: Path) -> Callable[[], Any]:
    secrets: list[str] = []
    addresses.ask(
        actor=sure(cast.member), email="dag@other.example",
        link=lambda secret: secrets.append(secret) or "a link",  # type: ignore[func-returns-value]
    )  # fmt: skip
    return lambda: [addresses.confirm(user=cast.member, secret=secret) for secret in secrets]


def operator_by_command(_cast: Cast, _path: Path) -> Callable[[], Any]:
    return lambda: run("create_operator", "new@provider.example")


REQUEST, PERSON, OPERATOR = "access.request_", "access.account_", "access.operator_"
LINKED = ("access.password_link_sent", "", "")
EXPORTED = "access.data_exported"
ADDED, REMOVED = "access.second_factor_added", "access.second_factor_removed"
HOOK, INVITATION, HERE = "access.webhook_", "access.invitation_", "https://other.example/"
ACTS: dict[str, Act] = {
    "key": Act(
        key_page("create", name="sync", scopes=["decisions:read", "events:read"]),
        (("access.key_created", "", "decisions:read, events:read"),), "labs", "owner",
    ),
    "key revoked": Act(key_page("revoke"), (("access.key_revoked", "", ""),), "labs", "owner"),
    "key revoked twice": Act(key_revoked_twice, (("access.key_revoked", "", ""),), "labs", "owner"),
    "key taken over": Act(key_page("take-over"), (("access.key_taken_over", "", ""),), "labs", "owner"),
    "key of the provider": Act(
        operator_key, (("access.key_created", "", ", ".join(KeyScope.values)),), None, "operator"
    ),
    "key made on the machine": Act(
        key_by_command, (("access.key_created", "", "decisions:read"),), "labs", kind="command"
    ),
    "admin who leaves": Act(
        admin_leaves, (("access.key_suspended", "", ""), ("access.webhook_suspended", "", "")), "labs", "owner"
    ),
    "admin demoted by the provider": Act(
        admin_demoted_by_the_provider, (("access.key_suspended", "", ""),), "labs", "operator"
    ),
    "webhook taken over": Act(webhook_service(webhooks.take_over), ((f"{HOOK}taken_over", "", ""),), "labs", "admin"),
    "webhook": Act(webhook_page("create", url=HERE), ((f"{HOOK}created", "", ""),), "labs", "admin"),
    "webhook paused": Act(webhook_page("pause"), ((f"{HOOK}paused", "", ""),), "labs", "admin"),
    "webhook resumed": Act(webhook_page("resume"), ((f"{HOOK}resumed", "", ""),), "labs", "admin"),
    "webhook's secret": Act(webhook_page("rotate"), ((f"{HOOK}secret_rotated", "", ""),), "labs", "admin"),
    "webhook deleted": Act(webhook_page("delete"), ((f"{HOOK}deleted", "", ""),), "labs", "admin"),
    "webhook changed": Act(
        webhook_service(webhooks.update_endpoint, url="https://other.example/", kinds=["lock.placed"]),
        ((f"{HOOK}changed", "", "url, kinds"),), "labs", "admin",
    ),
    "webhook changed and paused": Act(
        webhook_service(webhooks.update_endpoint, description="Ours", status="paused"),
        ((f"{HOOK}changed", "", "description"), (f"{HOOK}paused", "", "")), "labs", "admin",
    ),
    "webhook left as it is": Act(webhook_service(webhooks.update_endpoint, status="active", kinds=[]), ()),
    "webhook replayed": Act(
        webhook_service(webhooks.replay, after=0), ((f"{HOOK}replayed", "", ""),), "labs", "admin"
    ),
    "webhook of the provider": Act(provider_webhook, ((f"{HOOK}created", "", ""),), None, "operator"),
    "webhook that is gone": Act(webhook_gives_up, ((f"{HOOK}paused", "", "gone"),), "labs"),
    "person erased": Act(erased, (("access.account_erased", "", ""),), None, "operator", "member"),
    "invitation": Act(invites, ((f"{INVITATION}sent", "", "auditor"),), "labs", "admin"),
    "invitation withdrawn": Act(withdraws, ((f"{INVITATION}withdrawn", "", ""),), "labs", "admin"),
    "invitation accepted": Act(accepts, ((f"{INVITATION}accepted", "", ""),), "labs", "outsider"),
    "history as a file": Act(history_as_a_file, ((EXPORTED, "", "history"),), "labs", "auditor"),
    "history taken by the provider": Act(history_taken_by_the_provider, ((EXPORTED, "", "history"),), "labs", "operator"),  # noqa: E501
    "one's own choices as a file": Act(own_choices, ((EXPORTED, "", "own_choices"),), None, "member", "member"),
    "rows of a job": Act(rows_of_a_job, ((EXPORTED, "", "job_rows"),), None, "operator"),
    "rows of a job by command": Act(rows_by_command, ((EXPORTED, "", "job_rows"),)),
    **{
        f"export {what}": Act(table(what), ((EXPORTED, "", what),))
        for what in ("organizations", "members", "subscriptions", "choices")
    },
    "export_state": Act(state, ((EXPORTED, "", "state"),)),
    "authenticator app set up": Act(
        authenticator_app, ((ADDED, "", "totp"), (ADDED, "", "recovery_codes")), None, "owner", "owner"
    ),
    "authenticator app removed": Act(
        authenticator_app_removed, ((REMOVED, "totp", ""), (REMOVED, "recovery_codes", "")), None, "owner", "owner"
    ),
    "new recovery codes": Act(
        new_recovery_codes, ((REMOVED, "recovery_codes", ""), (ADDED, "", "recovery_codes")), None, "owner", "owner"
    ),
    "passkey removed": Act(passkey_removed, ((REMOVED, "webauthn", ""),), None, "member", "member"),
    "password changed": Act(password_changed, (("access.password_changed", "", ""),), None, "auditor", "auditor"),
    "first password set": Act(password_set, (("access.password_set", "", ""),), None, "auditor", "auditor"),
    "operator asked for": Act(asks, ((f"{REQUEST}made", "", "operator"),), None, "operator"),
    "operator made": Act(
        confirms("operator", lambda _cast: {"email": "new@provider.example"}),
        ((f"{OPERATOR}made", "", ""), LINKED, (f"{REQUEST}confirmed", "", "operator")), None, "operator",
    ),
    "operator made again": Act(
        confirms("operator", lambda _cast: {"subject": former_operator()}),
        ((f"{OPERATOR}reactivated", "", ""), (f"{REQUEST}confirmed", "", "operator")), None, "operator",
    ),
    "link for an operator": Act(
        confirms("link", lambda _cast: {"subject": another_operator("tyr")}),
        (LINKED, (f"{REQUEST}confirmed", "", "link")), None, "operator",
    ),
    "second factors of an operator": Act(
        confirms("second_factors", lambda _cast: {"subject": with_a_factor(another_operator("tyr"))}),
        ((REMOVED, "totp", ""), (f"{REQUEST}confirmed", "", "second_factors")), None, "operator",
    ),
    "address that operators give": Act(
        confirms("address", lambda cast: {"subject": cast.member, "email": "dag@other.example"}),
        (("access.address_changed", "", ""), (f"{REQUEST}confirmed", "", "address")), None, "operator", "member",
    ),
    "request declined": Act(declines, ((f"{REQUEST}declined", "", "link"),), None, "operator"),
    "operator ended": Act(
        person_service(people.end_operator, lambda _cast: another_operator("tyr")),
        ((f"{OPERATOR}ended", "", ""),), None, "operator",
    ),
    "operator made on the machine": Act(operator_by_command, ((f"{OPERATOR}made", "", ""),), kind="command"),
    "person added": Act(person_added, ((f"{PERSON}created", "", ""),), None, "operator"),
    "person deactivated": Act(
        person_service(people.deactivate, lambda cast: cast.member),
        ((f"{PERSON}deactivated", "", ""),), None, "operator", "member",
    ),
    "person reactivated": Act(person_back, ((f"{PERSON}reactivated", "", ""),), None, "operator", "member"),
    "link for a person": Act(
        person_service(people.mail_link, lambda cast: cast.member, password_link=link),
        (LINKED,), None, "operator", "member",
    ),
    "second factors of a person": Act(
        person_service(people.remove_second_factors, lambda cast: with_a_factor(cast.member)),
        ((REMOVED, "totp", ""),), None, "operator", "member",
    ),
    "plan made": Act(plan_made, (("access.plan_created", "", "opted_out"),), None, "operator"),
    "plan edited": Act(plan_edited, (("access.plan_edited", "", "description, name"),), None, "operator"),
    "own address changed": Act(own_address, (("access.address_changed", "", ""),), None, "member", "member"),
    "password reset by link": Act(password_reset, (("access.password_reset", "", ""),), None, "member", "member"),
}  # fmt: skip


def test_acts__every_kind_of_access_event__is_left_by_one_of_them() -> None:
    assert {kind for act in ACTS.values() for kind, _before, _after in act.leaves} == set(ACCESS_KINDS)


def access_events() -> list[ConsentEvent]:
    return list(ConsentEvent.objects.filter(kind__in=ACCESS_KINDS).order_by("pk"))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ACTS)
def test_act__leaves_its_events_and_no_others__told_to_whom_they_concern(cast: Cast, tmp_path: Path, name: str) -> None:
    act = ACTS[name]
    do = act.does(cast, tmp_path)
    before = {event.pk for event in access_events()}
    do()
    found = [event for event in access_events() if event.pk not in before]
    assert tuple((event.kind, event.before, event.after) for event in found) == act.leaves
    organization = getattr(cast, act.told).pk if act.told else None
    person = getattr(cast, act.by) if act.by else None
    for event in found:
        assert event.organization_id == organization
        assert event.actor_id == (str(person.pk) if person else "")
        assert event.actor_type == (act.kind if person or act.kind != "user" else "system")
        assert event.by_operator is (person is None or person.is_staff)
        if act.about:
            assert event.target == str(getattr(cast, act.about).pk)
    names_nobody_and_no_secret(found)


def names_nobody_and_no_secret(events: list[ConsentEvent]) -> None:
    """By what there is in the database, and by what was sent: none of it stands in any column of any event."""
    told = "\n".join(
        str(getattr(event, field.attname)) for event in events for field in ConsentEvent._meta.concrete_fields
    )
    secrets = {SECRET, NEW, PASSWORD}
    for person in User.objects.all():
        secrets |= {person.email, person.name, person.password}
    for factor in Authenticator.objects.all():
        secrets |= {str(value) for value in factor.data.values() if len(str(value)) > 8}
    for key in ApiKey.objects.all():
        secrets |= {key.hash, key.name, key.prefix}
    for hook in WebhookEndpoint.objects.all():
        secrets |= {hook.url, hook.description}
    for invitation in Invitation.objects.all():
        secrets |= {invitation.hash, invitation.email}
    secrets |= {"receiver.example", "other.example", "new@kvasir.example"}
    assert [secret for secret in secrets if secret and secret in told] == []


@pytest.mark.parametrize("name", ["history as a file", "one's own choices as a file", "rows of a job"])
def test_file__not_noted__not_given(cast: Cast, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    do = ACTS[name].does(cast, tmp_path)

    def fails(*_args: Any, **_kwargs: Any) -> None:
        raise LookupError("the ledger can't be written")

    monkeypatch.setattr(trail, "note", fails)
    with pytest.raises(LookupError, match="can't be written"):
        do()


@pytest.mark.parametrize("name", ["export members", "export_state"])
def test_command__not_noted__leaves_no_file(
    cast: Cast, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: Any, **_kwargs: Any) -> None:
        raise LookupError("the ledger can't be written")

    monkeypatch.setattr(trail, "note", fails)
    with pytest.raises(LookupError, match="can't be written"):
        ACTS[name].does(cast, tmp_path)()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["authenticator app set up", "password changed", "password reset by link"])
def test_sign_in_change__whose_event_can_not_be_written__is_not_made(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, cast: Cast
) -> None:
    do = ACTS[name].does(cast, tmp_path)
    before = sign_ins()

    def fails(*_args: Any, **_kwargs: Any) -> None:
        raise LookupError("the ledger can't be written")

    monkeypatch.setattr(trail, "note", fails)
    with pytest.raises(LookupError, match="can't be written"):
        do()
    assert sign_ins() == before


def sign_ins() -> Any:
    people = list(User.objects.order_by("pk").values_list("pk", "password"))
    return people, list(Authenticator.objects.order_by("pk").values_list("pk", "type"))


@pytest.mark.parametrize(
    "sent", [{"oldpassword": "wrong", "password1": NEW, "password2": NEW}, {"oldpassword": PASSWORD, "password1": "x"}]
)
def test_password__refused__leaves_no_event(cast: Cast, sent: dict[str, str]) -> None:
    assert client_of(cast.auditor).post("/account/password/", sent).status_code == 200
    assert access_events() == []


def test_head__of_a_file__is_no_export(cast: Cast) -> None:
    client = client_of(cast.auditor)
    assert client.head(f"/o/{cast.labs.pk}/history/csv/").status_code == 200
    assert client.head("/settings/data-controls/mine.json").status_code == 200
    assert access_events() == []


def test_recorded__all_addresses_of_second_factors__and_none_lost() -> None:
    from allauth.mfa import urls

    def names(patterns: Any) -> list[str]:
        return [each.name if hasattr(each, "name") else names(each.url_patterns) for each in patterns]

    assert names(recorded.all_recorded(urls.urlpatterns)) == names(urls.urlpatterns)


def test_export__that_is_none__refused() -> None:
    with pytest.raises(ValueError, match="everything"):
        exports.note_export("everything", organization=None, actor=Actor.system(), source="command")


def test_factors__the_same_as_before__leave_no_event(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    same = sign_in.factors_of(cast.owner)
    actor = Actor.from_user(cast.owner, confirmed=True)
    with transaction.atomic():
        sign_in.note_factors(person=cast.owner, before=same, actor=actor, source="account")
        assert access_events() == []
        sign_in.note_factors(person=cast.owner, before={}, actor=actor, source="account")
    assert [(event.kind, event.after) for event in access_events()] == [(ADDED, "totp")]


def test_password__of_somebody_else__says_who_acted_and_whose_it_is(cast: Cast) -> None:
    with transaction.atomic():
        sign_in.note_password(EventKind.ACCESS_PASSWORD_RESET, person=cast.owner, actor=cast.provider, source="admin")
    (event,) = access_events()
    assert (event.actor_id, event.target, event.organization) == (str(cast.operator.pk), str(cast.owner.pk), None)

"""The part of the random histories about keys and webhooks (R18): created, used, suspended, taken over, ended.

Two more people, the keepers, join and leave one organization, are deactivated and reactivated, become operators and
stop being operators; they make no choices. For the keys and webhooks that somebody made, everybody's joining, leaving
and change of role counts.
"""

from collections.abc import Callable
from typing import Any

from django.test import Client
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from accounts.access import Actor, Forbidden
from accounts.models import ApiKey, MemberRole, Organization, OutgoingMessage, User
from consent import ledger
from consent.delivery.endpoints import deliver_next
from consent.delivery.sending import ReceiverResponse
from consent.errors import Refused
from consent.models import ConsentEvent, WebhookEndpoint
from consent.services import credentials, members, people, webhooks
from tests.support.factories import UserFactory
from tests.support.model.keys import ASK, SPEAK, VIEW, Credential, Rights, Turn
from tests.support.model.rules import LE_CHAT, Fact

KEEPERS, HOME = (3, 4), 1  # numbers of people, after those who choose; and of their organization
OPERATORS = (5, 6)
KEYS, HOOKS = 6, 2
numbers = st.integers(0, 1000)
holders = st.sampled_from([0, 1, 3, 3, 4])
anybody = st.sampled_from([0, 1, 2, 3, 3, 4, 4, 5, 6])
roles = st.sampled_from(["owner", "admin", "auditor", "member"])
moves = st.sampled_from(["joins", "leaves", "deactivated", "reactivated", "operator", "no operator"])
LOSSES = {"leaves": "joins", "demoted": "promoted", "deactivated": "reactivated", "no operator": "operator"}


class Receiver:
    """A sender that records the URLs that it is asked to send to."""

    def __init__(self) -> None:
        self.got: list[str] = []

    def post(self, url: str, _headers: dict[str, str], _body: bytes) -> ReceiverResponse:
        self.got.append(url)
        return ReceiverResponse(200, "", 1, "")


class Keys:
    """The state machine's rules about keys and webhooks; the model's number of a person is their index in `users`."""

    def __init__(self) -> None:
        super().__init__()
        self.rights = Rights()
        self.keys: list[tuple[ApiKey, Credential]] = []
        self.hooks: list[tuple[WebhookEndpoint, Credential]] = []
        self.client = Client()

    def people_of_keys(self, *operators: User) -> list[User]:
        """Create the keepers, and tell the model who is an operator: the portal's operators and the second keeper."""
        keepers = [UserFactory(email=f"keeper{n}@people.example", is_staff=n == KEEPERS[1]) for n in KEEPERS]
        for who in (KEEPERS[1], *OPERATORS):
            self.rights.happens(Turn(who, "operator"))
        return [*keepers, *operators]

    def first_keys(self) -> None:
        self.join(HOME, KEEPERS[0], "admin")
        for who, kind in ((KEEPERS[0], "theirs"), (KEEPERS[1], "everybody's")):
            self.make_key(HOME, who, kind, VIEW)

    def acts(self, who: int) -> Actor:
        """An actor for the person's present state, who has just reauthenticated."""
        return Actor.from_user(User.objects.get(pk=self.users[who].pk), confirmed=True)

    # --- Doing and telling ---

    def takes_right(self, turn: Turn, call: Callable[[], Any], *kinds: str) -> list[ConsentEvent]:
        """Take a right away: keys and webhooks that depend on it are suspended, with an event each and an e-mail.

        They stop working at once.
        """
        lost = self.rights.happens(turn)
        keys = [key for key, told in self.keys if told in lost]
        hooks = [hook for hook, told in self.hooks if told in lost]
        mail = OutgoingMessage.objects.count()
        ends = ["access.key_suspended"] * len(keys) + ["access.webhook_suspended"] * len(hooks)
        events = self.happens(call, *kinds, *ends)
        assert {each.target for each in events[len(kinds) :]} == {str(each.pk) for each in (*keys, *hooks)}
        told = [each.recipient for each in OutgoingMessage.objects.order_by("pk")[mail:]]
        readers = [who for where in {each.where for each in lost} for who in self.rights.readers(where)]
        assert sorted(told) == sorted(self.users[who].email for who in readers)
        self.try_keys(lost)
        self.look_at_hooks()
        return events

    def gives_right(self, *turns: Turn) -> None:
        """Give a right back, which must not revive any key or webhook."""
        assert self.rights.happens(*turns) == []
        self.try_keys_of(turns[0].who)
        self.look_at_hooks()

    def try_text(self, text: str, where: str) -> None:
        answer = self.client.get(f"/api/v1/organizations/{where}/", headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == self.rights.status(text, VIEW, where)

    def try_keys(self, some: list[Credential]) -> None:
        """Make requests with the last text of each key, and with the one before it."""
        for told in some:
            for text in told.texts[-2:]:
                self.try_text(text, told.where or str(self.organizations[0].pk))

    def try_keys_of(self, who: int) -> None:
        self.try_keys([told for _key, told in self.keys if told.keeper == who])

    # --- Rights ---

    @rule(n=numbers, who=holders, role=roles)
    def change_role(self, n: int, who: int, role: str) -> None:
        n = HOME if who in KEEPERS else n
        organization, account = self.at(n)
        member, person = self.person(n, who)
        if member is None or person is None or (who in KEEPERS and role == MemberRole.OWNER):
            return

        def call() -> None:
            members.update_member(member=member, role=role, actor=self.operator, source="admin")

        if not person.here():
            self.refused(call, Refused, "member_left")
        elif person.role() == role:
            self.happens(call)
        elif account.kind() == "personal":
            self.refused(call, Refused, "personal")
        elif self.owners(n) == [who]:
            self.refused(call, Refused, "last_owner")
        else:
            turn = Turn(who, "role", str(organization.pk), role)
            event, *_ended = self.takes_right(turn, call, "member.role_changed")
            person.facts.append(Fact(event.recorded_at, "role", role))
            self.try_keys_of(who)

    @rule(who=st.sampled_from(KEEPERS), what=moves)
    def keeper_moves(self, who: int, what: str) -> None:
        person, rights = self.users[who], self.rights
        if what == "joins":
            self.join(HOME, who, "admin")
        elif what == "leaves":
            self.leave(HOME, who)
        elif what == "operator":  # from the machine, which reactivates too
            self.happens(lambda: people.create_operator(email=person.email, name=""), "access.operator_reactivated")
            self.gives_right(Turn(who, "reactivated"), Turn(who, "operator"))
        elif what == "reactivated":
            self.reactivate(who)
        elif what == "deactivated" and rights.is_active(who):
            self.takes_right(
                Turn(who, what),
                lambda: people.deactivate(person=person, actor=self.operator),
                "access.account_deactivated",
            )
        elif what == "no operator" and rights.is_marked(who):
            self.takes_right(
                Turn(who, what),
                lambda: people.end_operator(person=person, actor=self.operator),
                "access.operator_ended",
            )

    def reactivate(self, who: int) -> None:
        def call() -> None:
            people.reactivate(person=self.users[who], actor=self.operator)

        if self.rights.is_marked(who):  # R19
            self.refused(call, Refused, "second_person")
        elif self.rights.is_active(who):
            self.happens(call)
        else:
            self.happens(call, "access.account_reactivated")
            self.gives_right(Turn(who, "reactivated"))

    # --- Keys ---

    @rule(
        n=numbers,
        who=st.sampled_from([None, 0, 0, 1, 2, 3, 3, 4, 5]),
        kind=st.sampled_from(["theirs", "theirs", "everybody's", "members'"]),
        scope=st.sampled_from([VIEW, ASK]),
    )
    def make_key(self, n: int, who: int | None, kind: str, scope: str) -> None:
        """Create a key, by a person or by a command (None)."""
        organization: Organization | None = self.at(n)[0] if kind == "theirs" else None
        where = str(organization.pk) if organization else ""
        scopes = (scope, SPEAK) if kind == "members'" else (scope,)
        made: list[credentials.Issued] = []

        def call() -> None:
            actor = Actor.on_machine() if who is None else self.acts(who)
            made.append(
                credentials.issue_key(
                    name="Sync", scopes=scopes, organization=organization, actor=actor, source="admin"
                )
            )

        if who is not None and not self.rights.may(who, where):
            self.refused(call, Forbidden)
            return
        if len(self.keys) == KEYS:
            self.revoke_key(0, OPERATORS[0])
            self.keys.pop(0)
        (event,) = self.happens(call, "access.key_created")
        (issued,) = made
        assert event.target == str(issued.key.pk)
        told = self.rights.makes(who, where, *scopes)
        assert (issued.text is None) == (told.speaks_for_members and who is not None)
        told.texts += [issued.text] if issued.text else []
        self.keys.append((issued.key, told))
        self.try_keys([told])

    @precondition(lambda self: bool(self.keys))
    @rule(number=numbers, n=numbers)
    def try_key(self, number: int, n: int) -> None:
        """Make a request with any text that a key ever had, about its own or another organization."""
        texts = [text for _key, told in self.keys for text in told.texts]
        if texts:
            self.try_text(texts[number % len(texts)], str(self.at(n)[0].pk))
        _key, told = self.keys[number % len(self.keys)]
        self.try_keys([told])

    @precondition(lambda self: bool(self.keys))
    @rule(number=numbers, who=anybody)
    def take_over_key(self, number: int, who: int) -> None:
        key, told = self.keys[number % len(self.keys)]
        made: list[credentials.Issued] = []

        def call() -> None:
            made.append(credentials.take_over_key(key=key, actor=self.acts(who), source="admin"))

        if refusal := self.rights.takes_over(who, told):
            error = Forbidden if refusal == "forbidden" else Refused
            self.refused(call, error, "" if error is Forbidden else refusal)
        else:
            self.happens(call, "access.key_taken_over")
            assert made[0].text is not None
            self.rights.taken_over(who, told, made[0].text)
        self.try_keys([told])

    @precondition(lambda self: bool(self.keys))
    @rule(number=numbers, who=anybody)
    def revoke_key(self, number: int, who: int) -> None:
        key, told = self.keys[number % len(self.keys)]

        def call() -> None:
            credentials.revoke_key(key=key, actor=self.acts(who), source="admin")

        if not self.rights.may(who, told.where):
            self.refused(call, Forbidden)
        else:
            self.happens(call, *([] if told.ended else ["access.key_revoked"]))
            told.ended = True
        self.try_keys([told])

    @rule(
        who=st.sampled_from(KEEPERS),
        how=st.sampled_from(sorted(LOSSES)),
        taker=st.sampled_from([*KEEPERS, *OPERATORS]),
        lost_again=st.booleans(),
    )
    def key_outlives_its_person(self, who: int, how: str, taker: int, lost_again: bool) -> None:
        """A sequence that is rare by chance: a key is lost with its person, stays so, and is taken over by another."""
        by_role = how in ("leaves", "demoted") or (how == "deactivated" and not self.rights.is_marked(who))
        if by_role:
            self.keeper_moves(who, "no operator")
        self.come_back(who, "joins" if by_role else "operator")
        self.make_key(HOME, who, "theirs" if by_role else "everybody's", VIEW)
        self.make_hook(HOME, who)
        if not self.keys or not self.hooks:
            return
        self.lose(who, how)
        self.come_back(who, LOSSES[how])
        self.take_over_key(len(self.keys) - 1, taker)
        self.deliver()
        self.take_over_hook(len(self.hooks) - 1, taker)
        self.deliver()
        if lost_again:
            self.lose(who, how)
            self.take_over_key(len(self.keys) - 1, OPERATORS[0])

    def lose(self, who: int, how: str) -> None:
        if how == "demoted":
            self.change_role(HOME, who, "auditor")
        else:
            self.keeper_moves(who, how)

    def come_back(self, who: int, how: str) -> None:
        if how in ("reactivated", "operator"):
            self.keeper_moves(who, "operator" if self.rights.is_marked(who) else how)
        elif self.rights.role(who, str(self.at(HOME)[0].pk)):
            self.change_role(HOME, who, "admin")
        else:
            self.join(HOME, who, "admin")

    # --- Webhooks ---

    @rule(n=numbers, who=anybody)
    def make_hook(self, n: int, who: int) -> None:
        organization = self.at(n)[0]
        made: list[WebhookEndpoint] = []

        def call() -> None:
            url = f"https://hooks.example.com/{len(self.rights.credentials)}"
            made.append(
                webhooks.create_endpoint(organization=organization, url=url, actor=self.acts(who), source="admin")
            )

        if not self.rights.may(who, str(organization.pk)):
            self.refused(call, Forbidden)
            return
        if len(self.hooks) == HOOKS:
            self.delete_hook()
        self.happens(call, "access.webhook_created")
        self.hooks.append((made[0], self.rights.makes(who, str(organization.pk))))

    def delete_hook(self) -> None:
        hook, told = self.hooks.pop(0)
        told.ended = True

        def call() -> None:
            webhooks.delete_endpoint(endpoint=hook, actor=self.operator, source="admin")

        self.happens(call, "access.webhook_deleted")

    @precondition(lambda self: bool(self.hooks))
    @rule(number=numbers, who=anybody)
    def take_over_hook(self, number: int, who: int) -> None:
        hook, told = self.hooks[number % len(self.hooks)]

        def call() -> None:
            webhooks.take_over(endpoint=hook, actor=self.acts(who), source="admin")

        if not self.rights.may(who, told.where):
            self.refused(call, Forbidden)
            return
        self.happens(call, "access.webhook_taken_over")
        self.rights.taken_over(who, told)
        generation = hook.generation
        self.look_at_hooks()
        assert (hook.generation, hook.previous) == (generation + 1, [])  # no overlap

    @precondition(lambda self: bool(self.hooks))
    @rule()
    def deliver(self) -> None:
        """Deliver: each live webhook must get the events since its position, exactly once, and no other webhook any."""
        ledger.sequence()
        receiver, head, expected = Receiver(), ledger.head(), []
        for hook, told in self.hooks:
            if self.rights.lives(told):
                expected += [hook.url] * self.news(hook)
                hook.position = head
        for _turn in range(2 * HOOKS):
            deliver_next(receiver)  # type: ignore[arg-type]
        assert sorted(receiver.got) == sorted(expected)
        self.look_at_hooks()

    @staticmethod
    def news(hook: WebhookEndpoint) -> int:
        """The number of events for an organization's webhook: without the access trail and members' choices (R4)."""
        events = ConsentEvent.objects.filter(organization=hook.organization_id, placed__position__gt=hook.position)
        return events.exclude(kind__startswith="access.").exclude(member__isnull=False, product=LE_CHAT).count()

    def look_at_hooks(self) -> None:
        """Assert that webhooks that may not be used are suspended, and that each kept its position."""
        for hook, told in self.hooks:
            position = hook.position
            hook.refresh_from_db()
            assert hook.position == position
            state = ("active", "") if self.rights.lives(told) else ("paused", "suspended")
            assert (hook.status, hook.paused_because) == state

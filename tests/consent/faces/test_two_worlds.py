"""A member's choice is private (R4): two worlds that differ only in it look the same to everybody else.

In the second world a member of another organization makes the choice instead, so that ids and positions of events are
the same: they are counted for the whole portal, and the only thing that R4 exempts. All else is compared to the byte:
body, status, headers, number of queries, webhooks and e-mails. A URL with a parameter without values fails the test.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import pytest
from django.db import connection
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from accounts.access import Permission
from accounts.models import Member
from consent import rules
from consent.lookups import Row
from consent.models import ConsentEventQuerySet, PrivacySetting
from consent.presentation import privacy_settings
from consent.rules import MEMBER_START, Decision, Layers, Reason
from consent.services import asked, layers, members
from tests.consent.faces.worlds.histories import HIDDEN, ROLES, SIDES, STEPS, Step, make, play
from tests.consent.faces.worlds.looking import Callers, look, requests, sent_to, values
from tests.consent.faces.worlds.requests import METHODS, Sent, described_routes, paths
from tests.consent.faces.worlds.stopped import stopped
from tests.support.permission_matrix import routes

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

# Both worlds of a history take a quarter of a minute: to shrink one that fails would take longer than all other tests.
WITHOUT_SHRINKING = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]
# What differs between the databases is their SQL, which few histories reach as well, and reading reaches most of it.
EXAMPLES, OF_A_SOAK = 6 if connection.vendor == "sqlite" else 3, 300
TRIED = METHODS if connection.vendor == "sqlite" else ("GET", "POST")
# Of the keys, whose answers are JSON of the same statements, the one that may do everything.
FEW = ("admin", "auditor", "member", "all")
RICH: list[Step] = [
    ("member", "opted_out"),
    ("hidden", "opted_in"),
    ("organization", "opted_out"),
    ("hidden", "opted_out"),
    ("role", "admin"),
    ("time", "90000"),
    ("hidden by the provider", "opted_out"),
    ("membership", "leaves"),
    ("hidden", "opted_in"),
    ("membership", "joins"),
    ("organization", "opted_in"),
    ("applied", ""),
    ("organization", "opted_out"),
    ("deliver", ""),
    ("receiver", "500"),
    ("country", "SE"),
    ("hidden", "opted_out"),
]
Looking = Callable[[Callers], Iterable[tuple[str, Sent]]]


@pytest.fixture(autouse=True)
def without_limits(settings: Any) -> Iterator[None]:
    settings.KEY_RATE = 0
    logging.disable()  # of thousands of refusals
    yield
    logging.disable(logging.NOTSET)


def everything(callers: Callers) -> Iterator[tuple[str, Sent]]:
    everybody = (*callers.people, *callers.keys)
    for who in everybody if connection.vendor == "sqlite" else FEW:
        for sent in requests(callers.world, who):
            if sent.method in TRIED:
                yield who, sent


def told(steps: list[Step], hidden: str, role: str, looking: Looking) -> list[Any]:
    with stopped() as clock:
        world = make(clock, hidden, role)
        play(world, steps)
        callers = Callers(world)
        return [*sent_to(world), *look(callers, looking(callers))]


def both(steps: list[Step], role: str, looking: Looking) -> list[tuple[Any, Any]]:
    """What is seen in the one world and in the other, pair by pair."""
    return list(zip_longest(*(told(steps, hidden, role, looking) for hidden in SIDES)))


def differences(seen: list[tuple[Any, Any]]) -> list[str]:
    return [f"{one}\n     {other}" for one, other in seen if one != other]


def test_two_worlds__every_url_by_everybody__the_same_to_the_byte() -> None:
    seen = both(RICH, "member", everything)
    assert differences(seen) == []
    hooks, mail, *answers = (one for one, _other in seen)
    # Else much of this could be the same refusals twice.
    assert len(hooks) >= 5 and mail, "the history has something to tell"
    for who in (*ROLES, "all", "another") if connection.vendor == "sqlite" else FEW:
        assert sum(each.who == who and each.status < 300 for each in answers) > 20, who


def test_requests__every_route_of_the_urlconf_and_of_the_description__by_every_method() -> None:
    with stopped() as clock:
        world = make(clock, SIDES[0], "member")
        asked = {(sent.method, sent.path) for who in ("admin", "all") for sent in requests(world, who)}
        every = {*routes(), *described_routes()}
        assert len(every) > 150
        missing = [
            (method, path)
            for route in every
            for path in paths(route, values(world))
            for method in METHODS
            if (method, path) not in asked
        ]
        assert missing == []
        with pytest.raises(KeyError):
            paths("api/v1/organizations/<str:organization>/new/<str:thing>/", values(world))


# --- Whatever happened ------------------------------------------------------------------------------------------------

steps = st.lists(st.sampled_from([*STEPS, *HIDDEN]), max_size=8)
histories = st.tuples(steps, st.sampled_from(HIDDEN), steps).map(lambda parts: [*parts[0], parts[1], *parts[2]])
APART = ("/admin/", "/account/", "/sign-", "/api/schema/", "/api/docs/", "/readyz", "/metrics", "/api/v1/bulk-jobs/")


def by(*who: str) -> Looking:
    """What these get to see that could tell of a history."""

    def looking(callers: Callers) -> Iterator[tuple[str, Sent]]:
        for each in who:
            for sent in requests(callers.world, each):
                reads = sent.method == "GET" or sent.path.startswith(("/api/v1/decisions/", "/access/"))
                if reads and not sent.path.startswith(APART):
                    yield each, sent

    return looking


# A history, the chooser's role, and who looks.
whatever = given(histories, st.sampled_from(ROLES), st.sampled_from([*ROLES, "all", "another"]))


@settings(max_examples=EXAMPLES, phases=WITHOUT_SHRINKING)
@whatever
def test_two_worlds__whatever_happened__the_same_to_the_byte(history: list[Step], role: str, who: str) -> None:
    assert differences(both(history, role, by(who))) == []


@pytest.mark.soak
@settings(max_examples=OF_A_SOAK, phases=WITHOUT_SHRINKING)
@whatever
def test_two_worlds__many_histories__the_same_to_the_byte(history: list[Step], role: str, who: str) -> None:
    assert differences(both(history, role, by(who))) == []


# --- Twins: with each rule taken away, the worlds differ --------------------------------------------------------------

TOLD: list[Step] = [
    ("organization", "opted_out"),
    ("hidden", "opted_out"),
    ("hidden", "opted_in"),
    ("hidden", "opted_out"),
    ("role", "admin"),
]


def uncut(asked: Layers) -> Decision:
    """`resolve` as it was: all layers are computed, and all are given back."""
    if refusal := rules._unanswerable(asked):
        return Decision(False, refusal)
    answers = rules._answers(asked, asked.member if asked.member_needed else MEMBER_START)
    if asked.member_needed and not asked.member_told and answers[0].allowed:
        return Decision(False, Reason.MEMBER_PRIVATE, answers[:1])
    for answer in answers if asked.member_told else answers[:1]:
        if not answer.allowed:
            return Decision(False, Reason(answer.reason), answers)
    return Decision(True, Reason(answers[0].reason), answers)


def explain_without_the_cut(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(rules, "resolve", uncut)


def members_choices_among_the_events(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(ConsentEventQuerySet, "without_member_choices", lambda self: self)


def counted_for_everybody(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(privacy_settings, "permissions_by_role", lambda actor, organization, role: frozenset(Permission))


def leaving_after_the_last_choice(patched: pytest.MonkeyPatch) -> None:
    lock = layers.lock_member

    def locked(member: Member) -> Member:
        found = lock(member)
        chosen = PrivacySetting.objects.filter(member=found).values_list("changed_at", flat=True)
        found.changed_at = max([found.changed_at, *filter(None, chosen)])
        return found

    patched.setattr(members.layers, "lock_member", locked)


def members_answers_counted(patched: pytest.MonkeyPatch) -> None:
    def event(row: Row) -> int | None:
        return row.event if row.member_allowed is None or row.member_allowed else row.member_event

    patched.setattr(asked, "_event", event)


class Leak(NamedTuple):
    at: str
    seen_by: tuple[str, ...] = ("auditor", "another")


TWINS = {
    explain_without_the_cut: Leak("/api/v1/decisions/?explain=true"),
    members_choices_among_the_events: Leak("/events/"),
    counted_for_everybody: Leak("/privacy-settings/"),
    members_answers_counted: Leak("/questions-asked/"),
    leaving_after_the_last_choice: Leak("/history/csv/", ("auditor",)),
}


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
def test_two_worlds__without_a_rule__caught(twin: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        twin(patched)
        found = differences(both(TOLD, "member", by("auditor", "another")))
    for who in TWINS[twin].seen_by:
        assert any(f"who={who!r}" in each and TWINS[twin].at in each for each in found), who

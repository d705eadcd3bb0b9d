"""A snapshot is what the events up to its position say, no more and no less: held against a replay in plain Python.

And what is asked of it is answered as the portal answers about its instant, wherever all events that it contains are of
that instant or earlier, and all others are later.
"""

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from accounts.fields import from_micros, split_text
from consent import decisions, ledger, rules
from consent.decisions import Question
from consent.jobs import engine
from consent.models import ConsentEvent
from consent.pipeline import Snapshot
from consent.services import choices, cooling_off, members, organizations
from consent.snapshots.catalogue import catalogue
from consent.snapshots.exporting import export_snapshot
from consent.surfaces import LE_CHAT_MOBILE
from tests.consent.core.machine import Portal
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, OrganizationFactory
from tests.support.replay import Replay, Rows, cut_at, replay, rows_at
from tests.support.snapshots import CATALOGUE, VERIFY_KEY

QUESTIONS = 40
# What has to have happened in the random histories, so that they tell something.
WANTED = {"organization.closed", "member.left", "since.attested", "choice.opted_in", "choice.opted_out", "lock.placed"}


@pytest.mark.django_db
def test_catalogue__is_that_of_the_tests() -> None:
    assert catalogue(ledger.clock()) == CATALOGUE


def test_catalogue__cooling_off__days_of_the_snapshots_instant(cast: Cast, tmp_path: Path) -> None:
    ledger.sequence()
    position = ledger.head()
    cooling_off.lengthen(product="le_chat", days=30, actor=cast.provider, source="admin")
    before, after = export_snapshot(tmp_path, position), export_snapshot(tmp_path)
    opened = [Snapshot.open(each.written.folder, VERIFY_KEY) for each in (before, after)]
    assert [each.catalogue["le_chat"].cooling_off_days for each in opened] == [0, 30]
    assert [each.catalogue["ai_studio"].cooling_off_days for each in opened] == [0, 0]
    # It is of no row: the files are the same.
    assert [file.sha256 for file in opened[0].files] == [file.sha256 for file in opened[1].files]


class Exported(Portal):
    """The random histories of the machine, each exported at every position, and asked about at clean cuts."""

    asked = clean = 0
    met: Counter[str] = Counter()

    def verify(self) -> None:  # also called in the middle of a history
        super().verify()
        state = Replay()
        events = list(ConsentEvent.objects.placed())
        latest = None
        for position in range(len(events) + 1):
            if position:
                event = events[position - 1]
                state.see(event)
                type(self).met[event.kind] += 1
                latest = max(latest or event.recorded_at, event.recorded_at)
            found = cut_at(position)
            rows = rows_at(found)
            assert rows == state.rows(), position
            if latest is None or latest <= found.decided_at:
                type(self).clean += 1
                self.ask(rows, found.decided_at)

    def ask(self, rows: Rows, at: dt.datetime) -> None:
        asked = [each for each in (self.question() for _ in range(QUESTIONS)) if each.collected_at is not None]
        questions = [Question(**{**vars(each), "at": at}) for each in asked]
        decided = decisions.decide_many(questions, self.operator)
        for each, decision in zip(questions, decided.decisions, strict=True):
            found = of_snapshot(rows, each, at)
            if found.reason == "unknown_organization" != decision.reason:
                assert not decision.allowed  # made after the snapshot: the one difference that there may be
                continue
            assert (found.allowed, found.reason) == (decision.allowed, decision.reason), each
            type(self).asked += 1


def of_snapshot(rows: Rows, question: Question, at: dt.datetime) -> rules.Decision:
    """The answer by the rules, of nothing but a snapshot's rows."""
    resolved, bound = {}, []
    for level in ("organization", "member"):
        text, external_id = split_text(getattr(question, level))
        if external_id is not None:
            named = [row for row in rows["external_ids"] if (row["level"], row["external_id"]) == (level, external_id)]
            if level == "member":
                named = [row for row in named if row["organization"] == resolved["organization"]]
            assert len(named) <= 1
            bound += [row["bound_at"] for row in named]
            resolved[level] = named[0][level] if named else None
        else:
            resolved[level] = text and next(
                (row[level] for row in rows[f"{level}s"] if row[f"{level}_id"] == text), None
            )
    own = next((row for row in rows["organizations"] if row["organization"] == resolved["organization"]), None)
    product = catalogue(at).get(question.product)
    with_members = product is not None and product.members
    meant = question.member is None and own is not None and own["personal"] and with_members
    pk = own["owner"] if own and meant else resolved["member"]
    theirs = next(
        (row for row in rows["members"] if own and (row["member"], row["organization"]) == (pk, own["organization"])),
        None,
    )
    return rules.resolve(
        rules.Layers(
            now=at,
            at=at,
            collected_at=question.collected_at,
            organization_known=own is not None,
            product_known=product is not None,
            data_kind_known=question.data_kind is None or bool(product and question.data_kind in product.data_kinds),
            first_event_at=_instant(own and own["created_at"]),
            organization=_standing(own, question.product) if own and product else rules.State(),
            member_asked=question.member is not None or bool(meant),
            member_needed=with_members,
            membership=rules.Membership(from_micros(theirs["joined_at"]), _instant(theirs["left_at"]))
            if theirs
            else None,
            member=_standing(theirs, question.product)
            if theirs and product and product.members
            else rules.MEMBER_START,
            member_told=True,
            named_since=_instant(max(bound, default=None)),
            cooling_off=dt.timedelta(product.cooling_off_days if product else 0),
        )
    )


def _standing(row: dict[str, Any], product: str) -> rules.Standing:
    allowed, reason, since = (row[f"{product}_{part}"] for part in ("allowed", "reason", "since"))
    return rules.Standing(allowed, reason, _instant(since))


def _instant(micros: int | None) -> dt.datetime | None:
    return None if micros is None else from_micros(micros)


@pytest.mark.slow
@pytest.mark.django_db
def test_snapshot__random_histories__at_every_position_the_replay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "django.request")
    for size in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, size, 1)
    Exported.asked = Exported.clean = 0
    Exported.met.clear()
    run_state_machine_as_test(
        Exported,
        settings=settings(
            max_examples=7, stateful_step_count=30, derandomize=True, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    assert Exported.asked > 1_000 and Exported.clean > 100
    assert WANTED - Exported.met.keys() == set()


def test_snapshot__kinds_closing_and_coming_back__at_every_position_the_replay(cast: Cast) -> None:
    """What the random histories seldom do."""
    by: dict[str, Any] = {"actor": cast.provider, "source": "admin"}
    alone = OrganizationFactory(personal=True, plan="le_chat_free", external_id="alone", actor=cast.provider)
    organizations.update_organization(organization=alone, kind="team", **by)
    organizations.update_organization(organization=alone, kind="personal", **by)
    organizations.update_organization(organization=alone, kind="team", external_id="no longer alone", **by)
    second = MemberFactory(organization=alone, actor=cast.provider, external_id="second")
    opt_out = {"surface": LE_CHAT_MOBILE, "organization": alone, "member": second, "choice": "opted_out"}
    choices.choose(**opt_out, version_required=False, **by)
    members.remove_member(member=second, **by)
    members.add_member(organization=alone, email=second.user.email, **by)
    members.update_member(member=second, external_id=None, **by)
    organizations.close_organization(organization=cast.labs, reason="asked for", **by)
    members.remove_member(member=cast.labs_member, **by)
    organizations.reopen_organization(organization=cast.labs, reason="asked for", **by)
    members.add_member(organization=cast.labs, email=cast.member.email, **by)
    organizations.update_organization(organization=alone, external_id=None, **by)
    organizations.update_organization(organization=alone, external_id="alone", **by)
    ledger.sequence()
    bound = set()
    for position in range(ledger.head() + 1):
        rows = rows_at(cut_at(position))
        assert rows == replay(position), position
        bound.add(tuple(row["external_id"] for row in rows["external_ids"]))
    assert rows["members"][-1]["le_chat_reason"] == "member_opted_out" and rows["members"][-1]["left_at"] is None
    assert {(), ("alone",), ("alone", "no longer alone", "second"), ("alone", "no longer alone")} <= bound

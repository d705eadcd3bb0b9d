"""Applying the entries of a range of positions to data that was allowed earlier = filtering that data again at its end.

On random histories through the services; the answers come from `decide_many`, asked at the very moment of each cut.
"""

import dataclasses
import datetime as dt
import hashlib
import io
import json
import random
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow.parquet as pq
import pytest

from accounts.access import Actor
from accounts.fields import to_micros
from accounts.models import Member, Organization
from consent import decisions, ledger
from consent.lookups import Question
from consent.models import PrivacySetting
from consent.services import organizations, removal_entries, removal_files
from consent.services.removal_entries import Entry, Level, Range
from tests.support.cast import Cast
from tests.support.histories import History

pytestmark = pytest.mark.thorough

KINDS = {"le_chat": "conversation", "ai_studio": "api_input"}
SEEDS = range(12)


@dataclasses.dataclass(frozen=True)
class Record:
    organization: uuid.UUID
    member: uuid.UUID | None
    product: str
    collected_at: dt.datetime


def records_of(history: History, number: int) -> list[Record]:
    chance = random.Random(history.seed * 7 + number)  # noqa: S311
    instants = history.instants()
    # Most that is older than the beginning is denied; some has to be there.
    instants = instants[history.born :] * 4 + instants[: history.born]
    own = {each.pk: history.instants(organization=each)[-60:] for each in history.organizations}
    found = []
    for _n in range(number):
        organization = chance.choice(history.organizations)
        people = list(Member.objects.filter(organization=organization).order_by("pk").values_list("pk", flat=True))
        product = chance.choice(list(KINDS))
        at = chance.choice(chance.choice([instants, own[organization.pk]]))
        found.append(Record(organization.pk, chance.choice([None, *people]), product, at))
    return found


def usable(records: Sequence[Record]) -> list[Record]:
    """The records that may be used as things stand, as the filter writes them: with the owner who is meant."""
    questions = [
        Question(
            organization=str(record.organization),
            product=record.product,
            member=str(record.member) if record.member else None,
            data_kind=KINDS[record.product],
            collected_at=record.collected_at,
        )
        for record in records
    ]
    answers = decisions.decide_many(questions, Actor.system()).decisions
    allowed = [record for record, answer in zip(records, answers, strict=True) if answer.allowed]
    return [resolved(record) for record in allowed]


def resolved(record: Record) -> Record:
    if record.member is None and record.product == "le_chat":
        owner = Member.objects.active().get(organization=record.organization)
        return dataclasses.replace(record, member=owner.pk)
    return record


def apply(entries: Iterable[Entry], records: Sequence[Record]) -> list[Record]:
    """What docs/pipeline.md says that whoever holds the data has to do."""
    latest: dict[tuple[object, str], Entry] = {}
    for entry in entries:
        key = entry.member or entry.organization, entry.product
        if key not in latest or latest[key].position < entry.position:
            latest[key] = entry
    return [record for record in records if all(keeps(latest.get(key), record) for key in keys_of(record))]


def keys_of(record: Record) -> list[tuple[object, str]]:
    subjects = [record.organization, *([record.member] if record.member else [])]
    return [(subject, record.product) for subject in subjects]


def keeps(entry: Entry | None, record: Record) -> bool:
    if entry is None:
        return True
    if entry.keep_from is None:
        return False
    at = to_micros(record.collected_at)
    return entry.keep_from <= at and (entry.keep_until is None or at < entry.keep_until)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", SEEDS)
def test_entries__of_a_random_history__remove_just_what_filtering_again_denies(seed: int) -> None:
    history = History(seed)
    history.steps(10)
    first, data = history.cut(), usable(records_of(history, 400))
    history.steps(10)
    # A second file of the run, filtered later.
    top, later = history.cut(), usable(records_of(history, 400))
    data += later
    assert len(data) > 100, "too few records are allowed for this to say anything"
    history.steps(12)
    middle = history.cut()
    history.steps(12)
    end = history.cut()
    whole = list(removal_entries.entries_of(Range(first, end, top)))
    kept = apply(whole, data)
    assert kept == usable(data)
    assert apply(whole, kept) == kept
    # In two parts, as batches come: both at once, and one after the other.
    parts = [list(removal_entries.entries_of(Range(*part, top))) for part in ((first, middle), (middle, end))]
    assert apply([*parts[0], *parts[1]], data) == kept
    assert apply(parts[1], apply(parts[0], data)) == kept


def changed(**changes: Callable[[int], int | None]) -> Callable[[Entry], Entry | None]:
    def change(entry: Entry) -> Entry:
        given = {name: getattr(entry, name) for name in changes}
        return entry._replace(**{name: changes[name](at) for name, at in given.items() if at is not None})

    return change


# What a wrong way to make entries would give; None: no entry.
TWINS: dict[str, Callable[[Entry], Entry | None]] = {
    "a microsecond too much at the start": changed(keep_from=lambda at: at - 1),
    "a microsecond too little at the start": changed(keep_from=lambda at: at + 1),
    "a microsecond too much at the end": changed(keep_until=lambda at: at + 1),
    "a microsecond too little at the end": changed(keep_until=lambda at: at - 1),
    "no end": changed(keep_until=lambda at: None),
    "no entries of members": lambda entry: None if entry.member else entry,
    "no entries of organizations": lambda entry: entry if entry.member else None,
    "denied ones keep all": lambda entry: None if entry.keep_from is None else entry,
    "allowed ones keep all": lambda entry: entry if entry.keep_from is None else None,
}


@pytest.mark.django_db
def test_entries__of_many_histories__meet_every_reason_and_catch_what_is_a_little_wrong() -> None:
    """So that the property above says something."""
    reasons: set[str] = set()
    removed, caught = 0, set()
    for seed in range(100, 108):
        history = History(seed)
        history.steps(10)
        first, data = history.cut(), usable(records_of(history, 500))
        history.steps(30)
        entries = list(removal_entries.entries_of(Range(first, history.cut(), first)))
        assert all(entry.level == (Level.MEMBER if entry.member else Level.ORGANIZATION) for entry in entries)
        kept = usable(data)
        assert apply(entries, data) == kept
        removed += len(data) - len(kept)
        reasons |= {entry.reason for entry in entries}
        # The entries of all positions are the whole state, which any record of their keys can be judged by: one that
        # was collected after its member left, too, which no filter has let through.
        end = history.cut()
        entries = list(removal_entries.entries_of(Range(0, end, end)))
        known = {(entry.member or entry.organization, entry.product) for entry in entries}
        data = [each for each in records_of(history, 1500) if each.member and known.issuperset(keys_of(each))]
        kept = usable(data)
        assert apply(entries, data) == kept
        for name, twin in TWINS.items():
            if apply([wrong for each in entries if (wrong := twin(each))], data) != kept:
                caught.add(name)
    assert removed > 100
    assert caught == set(TWINS)
    assert reasons >= {
        "organization_closed", "no_subscription", "locked", "organization_opted_out", "plan_default",
        "member_opted_out", "member_left", "collected_before_allowed",
    }  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("page", [1, 2, 7, 1000])
def test_entries__whatever_the_size_of_pages__are_the_same_in_order(page: int) -> None:
    history = History(3)
    history.steps(30)
    within = Range(0, history.cut(), 10**9)
    entries = list(removal_entries.entries_of(within, page))
    assert entries == list(removal_entries.entries_of(within))
    assert [each.position for each in entries] == sorted(each.position for each in entries)
    found: list[Entry] = []
    after: int | None = 0
    while after is not None:
        some, after = removal_entries.page_of(within._replace(after=after), page)
        assert some or after is None
        found += some
    assert found == entries


@pytest.mark.django_db
def test_totals__of_a_range__count_every_entry_and_digest_the_lines_that_are_written() -> None:
    history = History(6)
    history.steps(30)
    within = Range(0, history.cut(), 10**9)
    entries = list(removal_entries.entries_of(within))
    totals = removal_entries.totals_of(within)
    assert totals.entries == len(entries) == sum(each["entries"] for each in totals.counts)
    lines = b"".join(map(removal_entries.line_of, entries))
    assert totals.digest == hashlib.sha256(lines).hexdigest()
    first = json.loads(lines.splitlines()[0])
    assert first == entries[0].as_json()
    assert set(first) == {
        "level", "organization", "member", "product", "keep_from", "keep_until", "reason", "position",
    }  # fmt: skip


@pytest.mark.django_db
def test_files__of_no_entries__are_whole_all_the_same() -> None:
    packed, text = io.BytesIO(), io.StringIO()
    assert removal_files.write_parquet([], packed) == removal_files.write_text([], text, "plain") == 0
    assert pq.read_table(io.BytesIO(packed.getvalue())).column_names == text.getvalue().strip().split(",")


@pytest.mark.django_db
def test_entries__of_a_change_of_kind__there_are_none() -> None:
    history = History(4, number=3)
    first = history.cut()
    personal = history.organizations[0]
    history._changes_kind(personal)
    assert Organization.objects.get(pk=personal.pk).kind == "team"
    assert list(removal_entries.entries_of(Range(first, history.cut(), first))) == []


@pytest.mark.django_db
def test_entries__of_external_ids_given_and_withdrawn__there_are_none() -> None:
    """Records are removed by whom they belonged to when they were filtered, whatever an id means since."""
    history = History(4, number=3)
    organization = history.organizations[0]
    organizations.update_organization(organization=organization, external_id="first", **history.act)
    first = history.cut()
    for external_id in ("second", None, "third"):
        organizations.update_organization(organization=organization, external_id=external_id, **history.act)
    assert list(removal_entries.entries_of(Range(first, history.cut(), first))) == []


def test_entries__of_an_organization_that_was_closed_and_reopened__keep_only_what_came_after(cast: Cast) -> None:
    ledger.sequence()
    first = ledger.head()
    by: dict[str, Any] = {"actor": cast.provider, "source": "admin", "reason": "x"}
    organizations.close_organization(organization=cast.labs, **by)
    ledger.sequence()
    closed = ledger.head()
    organizations.reopen_organization(organization=cast.labs, **by)
    ledger.sequence()
    entries = [
        each
        for each in removal_entries.entries_of(Range(first, ledger.head(), first))
        if (each.level, each.product) == ("organization", "le_chat")
    ]
    reopened = PrivacySetting.objects.of_organizations().get(organization=cast.labs, product="le_chat")
    assert reopened.allowed and reopened.since is not None
    assert entries[-1].keep_from == to_micros(reopened.since)
    (while_closed,) = (
        each
        for each in removal_entries.entries_of(Range(first, closed, first))
        if (each.level, each.product) == ("organization", "le_chat")
    )
    assert (while_closed.keep_from, while_closed.reason) == (None, "organization_closed")


@pytest.mark.django_db
def test_entries__of_who_came_after_the_data__there_are_none() -> None:
    history = History(5, number=3)
    first = history.cut()
    history.organizations.append(history._created(7))
    history._joins(history.organizations[1], history.users[0])
    history._joins(history.organizations[-1], history.users[1])
    newcomers = list(removal_entries.entries_of(Range(first, history.cut(), first)))
    assert newcomers == []

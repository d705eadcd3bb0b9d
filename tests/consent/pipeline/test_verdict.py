"""The verdict in SQL says what `resolve` says, about every record, at every boundary; and each part of it is needed."""

import re
from collections import Counter

import duckdb
import pyarrow as pa
import pytest

from consent.pipeline import schema, verdict
from consent.pipeline.verdict import Key, Keys
from consent.rules import Reason
from tests.support import snapshots
from tests.support.consent_worlds import Oracle, World, world

pytestmark = pytest.mark.thorough

KEYS = [
    Keys(),
    Keys(Key.TEXT, Key.TEXT),
    Keys(Key.EXTERNAL, Key.EXTERNAL),
    Keys(Key.EXTERNAL, Key.UUID),
    Keys(Key.TEXT, Key.EXTERNAL),
]
RECORDS = 24_000
# What the rules can tell of a record to an operator.
TOLD = {
    *(reason.value for reason in Reason)
} - {"member_private", "organization_opted_in", "default", "member_opted_in", "external_id", "restored"}  # fmt: skip


def tables(made: World, keys: Keys) -> dict[str, pa.Table]:
    """The relations that the SQL reads."""
    columns = schema.schemas(made.catalogue)
    found = {
        name: pa.Table.from_batches([snapshots.batch(list(map(snapshots._with_texts, getattr(made, name))), fields)])
        for name, fields in columns.items()
    }
    owners = [row["owner"] and str(row["owner"]) for row in made.organizations]
    found["organizations"] = found["organizations"].append_column("owner_id", pa.array(owners, pa.string()))
    return {**found, "records": pa.table(dict(_records(made, keys)))}


def _records(made: World, keys: Keys):
    yield "n", pa.array(range(len(made.records)), pa.int64())
    for column, key in zip(("organization", "member"), keys, strict=True):
        if key is Key.UUID:
            raw = [row[column] and row[column].bytes for row in made.records]
            yield column, pa.ExtensionArray.from_storage(pa.uuid(), pa.array(raw, pa.binary(16)))
        else:
            name = f"{column}_name" if key is Key.EXTERNAL else column
            yield column, pa.array([row[name] and str(row[name]) for row in made.records], pa.string())
    for column in ("product", "data_kind"):
        yield column, pa.array([row[column] for row in made.records], pa.string())
    yield "collected_at", pa.array([row["collected_at"] for row in made.records], pa.int64())


def connection(made: World, keys: Keys):
    opened = duckdb.connect()
    for name, table in tables(made, keys).items():
        opened.register(f"_{name}", table)
        opened.execute(f"CREATE TABLE {name} AS FROM _{name}")
    return opened


def statement(made: World, keys: Keys) -> str:
    why = verdict.reason(made.catalogue, keys, made.decided_at)
    return f"SELECT r.n, {why} AS why\nFROM {verdict.source(made.catalogue, keys)}"


def told(opened, text: str) -> list[str | None]:
    rows = opened.execute(text).fetchall()
    return [why for _n, why in sorted(rows)] if len({n for n, _why in rows}) == len(rows) else rows


@pytest.mark.parametrize("cooling_off_days", [0, 1])
@pytest.mark.parametrize("keys", KEYS, ids="-".join)
def test_verdict__random_worlds__what_resolve_says(keys, cooling_off_days):
    made = world(sum(map(len, keys)) + cooling_off_days, RECORDS, cooling_off_days=cooling_off_days, cut=True)
    oracle = Oracle(
        made, organization_external=keys.organization is Key.EXTERNAL, member_external=keys.member is Key.EXTERNAL
    )
    expected = [oracle.reason(record) for record in made.records]
    found = told(connection(made, keys), statement(made, keys))
    different = [
        (record, why, found) for record, why, found in zip(made.records, expected, found, strict=True) if why != found
    ]
    assert different[:3] == []
    # The worlds are worth something: much is allowed, and everything that can be told is told often.
    counts = Counter(expected)
    assert counts[None] >= 0.3 * len(expected), counts
    wanted = TOLD - ({"cooling_off"} if not cooling_off_days else set())
    assert {why: number for why, number in counts.items() if number < 200} == {}
    assert set(counts) == {*wanted, None}


# --- Each part is needed --------------------------------------------------------------------------------------------


def _arguments(text: str, opened: int) -> list[tuple[int, int]]:
    """Where the arguments of a call are, whose parenthesis opens at `opened`."""
    places, depth, start = [], 0, opened + 1
    for at in range(opened, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if (text[at] == "," and depth == 1) or depth == 0:
            places.append((start, at))
            start = at + 1
        if depth == 0:
            return places
    raise ValueError(text[opened:])


def _calls(text: str, name: str) -> list[list[tuple[int, int]]]:
    return [_arguments(text, found.end() - 1) for found in re.finditer(rf"\b{name}\(", text)]


SWAPPED = {
    " >= ": " > ", " > ": " >= ", " < ": " <= ", " = ": " <> ", " IS NULL": " IS NOT NULL", " IS NOT NULL": " IS NULL",
    "NOT ": "", " OR ": " AND ",
}  # fmt: skip
# As it stands in the text; ` IS NOT NULL` is no `NOT `.
TOKEN = re.compile(r" >= | > | < | = | IS NOT NULL| IS NULL|NOT (?!NULL)| OR ")
# Conditions that stand behind AND, and those that stand before it.
CONDITIONS = [
    re.compile(r" AND (?:\w+\.\w+ (?:= \w+\.\w+|IS (?:NOT )?NULL)|NOT o\.personal|\(.*?\)(?= THEN))"),
    re.compile(r" AND m\.member(?:_id)? = .*"),
    re.compile(r"(?<=WHEN )(?:\w+\.\w+ IN \([^)]*\)|m\.member IS NULL) AND "),
    re.compile(r"(?<=ON )\S+ = \S+ AND "),
]


def mutants(text: str):
    """(what is changed, the text with this one change): every comparison, condition, coalesce and start."""
    for found in TOKEN.finditer(text):
        yield _mutant(text, found.start(), found.end(), SWAPPED[found[0]])
    for condition in CONDITIONS:
        for found in condition.finditer(text):
            yield _mutant(text, found.start(), found.end(), "")
    for start, end in ((found[0][0], found[-1][1]) for found in _calls(text, "coalesce")):
        first = _arguments(text, start - 1)[0]
        yield _mutant(text, start - len("coalesce("), end + 1, text[slice(*first)])
    for call in _calls(text, "greatest"):
        for start, end in call[1:]:
            yield _mutant(text, start - 1, end, "")


def _mutant(text: str, start: int, end: int, to: str) -> tuple[str, str]:
    context = f"{text[max(0, start - 60) : start]}⟦{text[start:end]} → {to}⟧{text[end : end + 30]}".replace("\n", " ")
    return context, text[:start] + to + text[end:]


@pytest.mark.slow
@pytest.mark.parametrize("keys", [Keys(), Keys(Key.TEXT, Key.TEXT), Keys(Key.EXTERNAL, Key.EXTERNAL)], ids="-".join)
def test_verdict__any_part_of_it_changed__some_record_gets_another(keys):
    made = world(7, 6_000, cooling_off_days=1, cut=True)
    # What a snapshot can't have, and is denied all the same.
    odd = next(row for row in made.organizations if not row["ai_studio_allowed"] and _name(made, row["organization"]))[
        "organization"
    ]
    made.records.append({**made.records[0], "organization": odd, "organization_name": _name(made, odd)})
    opened = connection(made, keys)
    opened.execute("UPDATE organizations SET ai_studio_reason = NULL WHERE organization = ?", [odd])
    text = statement(made, keys)
    right = told(opened, text)
    assert right[-1] == "no_subscription"
    changed = dict(mutants(text))
    assert len(changed) > 30
    survived = []
    for what, mutant in changed.items():
        try:
            if told(opened, mutant) == right:
                survived.append(what)
        except duckdb.BinderException:
            pass  # it compares what can't be compared
    assert survived == []


def _name(made: World, organization) -> str:
    own = [row for row in made.external_ids if row["organization"] == organization and row["member"] is None]
    return next((row["external_id"] for row in own if row["released_at"] is None), "")

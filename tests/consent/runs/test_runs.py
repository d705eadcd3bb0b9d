"""Training runs: what registering takes and refuses, the manifest, retiring; and that rows are only added."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from securesystemslib import dsse as reference
from securesystemslib.signer import SSlibKey

from accounts.access import Actor, Forbidden, NotFound, Permission
from accounts.models import ApiKey
from consent import ledger, manifests, triggers
from consent.errors import Invalid, Refused, ServiceError, Unavailable, Unprocessable
from consent.models import ConsentEvent, EventKind, RemovalCursor, RunFile, RunRetirement, TrainingRun
from consent.pipeline import digests, dsse
from consent.services import runs
from tests.support.cast import Cast
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, refusal, sql
from tests.support.quarantine import in_quarantine
from tests.support.training import file, register, report, sha256, snapshot, with_snapshots


@pytest.fixture
def act(cast: Cast) -> dict[str, Any]:
    return {"name": "R-77", "actor": cast.provider, "source": "api"}


def test_register__report_of_the_filter__stores_what_it_says_and_one_event(act: dict[str, Any], cast: Cast) -> None:
    registered = runs.register(reports=[report()], external_id="exp-12", purpose="The next small model", **act)
    assert registered.new
    run = TrainingRun.objects.get()
    assert (run, run.name, run.external_id) == (registered.run, "R-77", "exp-12")
    assert run.purpose == "The next small model" and run.registered_by == cast.operator
    assert (run.allowed, run.denied) == (70, 30)
    assert run.snapshot_position == run.last_position == ledger.head()
    assert run.counts[0] == {"product": "le_chat", "data_kind": "conversation", "reason": None, "rows": 70}
    assert sum(count["rows"] for count in run.counts) == 100
    (stored,) = run.files.all()
    assert (stored.name, stored.rows, stored.position) == ("part-000.parquet", 70, ledger.head())
    assert run.dataset_digest == digests.dataset_digest([file("part-000.parquet", 70)])
    assert RemovalCursor.objects.get().position == run.snapshot_position
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.target, event.organization, event.product) == (
        EventKind.RUN_REGISTERED,
        str(run.pk),
        None,
        None,
    )


def test_register__several_reports__each_file_has_its_own_position_and_counts_add_up(act: dict[str, Any]) -> None:
    reports = with_snapshots(report(3, name="a"), report(5, name="b", allowed=10), report(3, name="c"))
    run = runs.register(reports=reports, **act).run
    assert list(run.files.values_list("name", "position")) == [("a.parquet", 3), ("b.parquet", 5), ("c.parquet", 3)]
    assert (run.snapshot_position, run.last_position) == (3, 5)
    assert (run.allowed, run.denied) == (150, 90)
    assert {count["reason"]: count["rows"] for count in run.counts} == {
        None: 150,
        "organization_opted_out": 60,
        "member_private": 30,
    }
    assert [each["position"] for each in run.snapshots] == [3, 5]


@pytest.mark.parametrize(
    "same",
    [
        lambda: {"seconds": 99},
        lambda: {"versions": {}},
        lambda: {"snapshot": {"position": ledger.head(), "decided_at": 5, "manifest_sha256": sha256("made again")}},
    ],
)
def test_register__same_data_again__is_the_run_that_there_is_and_writes_nothing(act: dict[str, Any], same: Any) -> None:
    first = runs.register(reports=[report()], external_id="exp-12", **act).run
    events = ConsentEvent.objects.count()
    again = runs.register(
        reports=with_snapshots(report(first.snapshot_position, **same())),
        external_id="exp-12",
        **act | {"name": "Other"},
    )
    assert not again.new and again.run == first and again.run.name == "R-77"
    assert (TrainingRun.objects.count(), RunFile.objects.count(), ConsentEvent.objects.count()) == (1, 1, events)


@pytest.mark.parametrize(
    "other",
    [
        lambda: report(allowed=71),
        lambda: report(name="part-001"),
        lambda: report(2),
        lambda: report(inputs=[file("elsewhere", 100)]),
        lambda: report(
            counts=[
                {"product": "le_chat", "data_kind": "conversation", "reason": None, "rows": 70},
                {"product": "le_chat", "data_kind": "conversation", "reason": "locked", "rows": 30},
            ]
        ),
    ],
)
def test_register__other_data_by_the_same_external_id__is_refused(act: dict[str, Any], other: Any) -> None:
    runs.register(reports=[report()], external_id="exp-12", **act)
    given = other()
    ledger.sequence()
    with refusal(Refused, "exists", "external_id"):
        runs.register(reports=with_snapshots(given), external_id="exp-12", **act)
    assert TrainingRun.objects.count() == 1


def test_register__without_external_id__each_is_a_run_of_its_own(act: dict[str, Any]) -> None:
    assert runs.register(reports=[report()], **act).run != runs.register(reports=[report()], **act).run


def changed(path: str, value: Any) -> dict[str, Any]:
    """The report with this part replaced; `...` removes it."""
    changed = report(1)
    *parents, last = path.split("/")
    found: Any = changed
    for name in parents:
        found = found[int(name)] if isinstance(found, list) else found[name]
    if value is ...:
        del found[last]
    else:
        found[int(last) if isinstance(found, list) else last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "error", "field"),
    [
        ("format", 2, Invalid, ""),
        ("format", ..., Invalid, ""),
        ("snapshot", ..., Invalid, "/snapshot"),
        ("snapshot/position", -1, Invalid, "/snapshot/position"),
        ("snapshot/position", True, Invalid, "/snapshot/position"),
        ("snapshot/position", 1.0, Invalid, "/snapshot/position"),
        ("snapshot/position", 2**63, Invalid, "/snapshot/position"),
        ("snapshot/decided_at", "today", Invalid, "/snapshot/decided_at"),
        ("snapshot/manifest_sha256", "abc", Invalid, "/snapshot/manifest_sha256"),
        ("inputs", [], Invalid, "/inputs"),
        ("inputs", {}, Invalid, "/inputs"),
        ("outputs/allowed", [], Invalid, "/outputs/allowed"),
        ("outputs/allowed/0/sha256", "G" * 64, Invalid, "/outputs/allowed/0/sha256"),
        ("outputs/allowed/0/sha256", "A" * 64, Invalid, "/outputs/allowed/0/sha256"),
        ("outputs/allowed/0/name", "", Invalid, "/outputs/allowed/0/name"),
        ("outputs/allowed/0/name", "a\0b", Invalid, "/outputs/allowed/0/name"),
        ("outputs/allowed/0/name", "\ud800", Invalid, "/outputs/allowed/0/name"),
        ("outputs/allowed/0/name", "n" * 501, Invalid, "/outputs/allowed/0/name"),
        ("outputs/allowed/0/size", -1, Invalid, "/outputs/allowed/0/size"),
        ("counts/0/reason", "no_such_reason", Invalid, "/counts/0/reason"),
        ("counts/0/rows", 69, Unprocessable, "/allowed"),
        ("counts/1/rows", 21, Unprocessable, "/denied"),
        ("read", 101, Unprocessable, "/read"),
        ("allowed", 71, Unprocessable, "/read"),
        ("denied", ..., Invalid, "/denied"),
        ("inputs/0/rows", 99, Unprocessable, "/inputs"),
        ("outputs/allowed/0/rows", 69, Unprocessable, "/outputs/allowed"),
    ],
)
def test_register__wrong_report__is_refused_by_the_name_of_its_part(
    act: dict[str, Any], path: str, value: Any, error: type[ServiceError], field: str
) -> None:
    wrong = changed(path, value)
    with changes_nothing(), pytest.raises(error) as caught:
        runs.register(reports=[wrong], **act)
    assert type(caught.value) is error and caught.value.field == f"reports/0{field}" and str(caught.value)


@pytest.mark.parametrize("nothing", [[], ["text"], [None], [[]], [{}]])
def test_register__no_report__is_refused(act: dict[str, Any], nothing: Any) -> None:
    with refusal(Invalid):
        runs.register(reports=nothing, **act)


def test_register__position_beyond_the_ledger__is_refused(act: dict[str, Any]) -> None:
    ledger.sequence()
    with refusal(Unprocessable, "beyond_head", "reports"):
        runs.register(reports=[report(ledger.head() + 1)], **act)


def test_register__two_files_of_one_name__are_refused(act: dict[str, Any]) -> None:
    with refusal(Unprocessable, "inconsistent", "reports"):
        runs.register(reports=[report(1), report(2)], **act)


@pytest.mark.parametrize(
    "claims",
    [
        lambda said: {"position": said["position"] + 1},
        lambda said: {"position": said["position"] - 1},
        lambda said: {"decided_at": said["decided_at"] + 1},
        lambda said: {"manifest_sha256": sha256("another")},
        lambda said: snapshot(said["position"] + 1),
    ],
)
def test_register__report_that_claims_another_snapshot_than_it_had__is_refused(
    act: dict[str, Any], claims: Any
) -> None:
    """By a later position than that of the filter, what came between would never be removed."""
    ledger.sequence()
    honest = with_snapshots(report(ledger.head() - 2))[0]
    edited = {**honest, "snapshot": {**honest["snapshot"], **claims(honest["snapshot"])}}
    with refusal(Unprocessable, "unknown_snapshot", "reports/1/snapshot"):
        runs.register(reports=[with_snapshots(report(1, name="part-001"))[0], edited], **act)
    assert runs.register(reports=[honest], **act).new


def test_register__without_signing_key__is_refused(act: dict[str, Any], settings: Any) -> None:
    settings.MANIFEST_SIGNING_KEY = ""
    ledger.sequence()
    reports = with_snapshots(report(1))
    with refusal(Refused, "no_signing_key", ""):
        runs.register(reports=reports, **act)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "n" * 121])
def test_register__wrong_name__is_refused(act: dict[str, Any], name: str) -> None:
    with refusal(Invalid):
        runs.register(reports=[report(1)], **act | {"name": name})


# --- Who may ---


def test_runs__for_others_than_operators__are_forbidden_to_do_and_to_see(cast: Cast) -> None:
    run = register()
    key, _text = issue_key("reader", ["pipeline:read"])
    writer, _text = issue_key("writer", ["runs:write"])
    people = [Actor.from_user(each) for each in (cast.owner, cast.outsider)]
    for actor in [*people, Actor.system(), Actor.from_key(key)]:
        with refusal(Forbidden):
            runs.register(name="R", reports=[report(1)], actor=actor, source="api")
        with refusal(Forbidden):
            runs.retire(run=run, reason="over", actor=actor, source="api")
    for actor in people:
        assert not TrainingRun.objects.visible_to(actor).exists()
        with pytest.raises(Forbidden):
            runs.get_run(actor, run.pk)
    with pytest.raises(Forbidden):
        runs.get_run(Actor.from_key(writer), run.pk)
    assert runs.get_run(Actor.from_key(writer), run.pk, Permission.RUNS_MANAGE) == run
    assert runs.get_run(Actor.from_key(key), str(run.pk)) == run
    for absent in ("nonsense", "01890000-0000-7000-8000-000000000000"):
        with pytest.raises(NotFound):
            runs.get_run(cast.provider, absent)


@pytest.mark.parametrize("scope", ["pipeline:read", "runs:write"])
def test_scopes__of_the_pipeline__are_for_operator_keys_only(cast: Cast, scope: str) -> None:
    with refusal(Invalid, "operator_scope", "scopes"):
        issue_key("theirs", [scope], organization=cast.labs)
    # Nor does such a key get anywhere, should the database hold one.
    key, _text = issue_key("theirs", ["events:read"], organization=cast.labs)
    ApiKey.objects.filter(pk=key.pk).update(scopes=[scope])
    key.refresh_from_db()
    assert not TrainingRun.objects.visible_to(Actor.from_key(key)).exists()
    with pytest.raises(Forbidden):
        runs.get_run(Actor.from_key(key), register().pk)


# --- The manifest ---


def test_manifest__of_a_run__is_verified_by_the_reference_and_says_what_was_registered(cast: Cast) -> None:
    run = register(report(2, name="a"), report(4, name="b"), external_id="exp-12", purpose="p")
    key = manifests.signing_key()
    envelope = reference.Envelope.from_dict(json.loads(run.manifest))
    public = SSlibKey.from_crypto(key.public_key(), dsse.key_id(key))
    envelope.verify([public], threshold=1)  # raises if the signature does not hold
    statement = dsse.verify(run.manifest.encode(), key.public_key())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == f"{settings.PORTAL_URL}/training-run/v1"
    assert [each["name"] for each in statement["subject"]] == ["a.parquet", "b.parquet"]
    told = statement["predicate"]
    assert told["run"]["id"] == str(run.pk) and told["run"]["external_id"] == "exp-12"
    assert told["dataset_digest"] == run.dataset_digest and told["counts"] == run.counts
    assert [(each["name"], each["position"], each["rows"]) for each in told["files"]] == [
        ("a.parquet", 2, 70),
        ("b.parquet", 4, 70),
    ]
    assert [each["position"] for each in told["snapshots"]] == [2, 4]


def test_manifest__with_one_byte_altered__does_not_verify(cast: Cast) -> None:
    told = json.loads(register().manifest)
    payload = base64.b64decode(told["payload"]).replace(b"part-000", b"part-00O")
    told["payload"] = base64.b64encode(payload).decode()
    key: Ed25519PublicKey = manifests.signing_key().public_key()
    with pytest.raises(dsse.PipelineError):
        dsse.verify(json.dumps(told).encode(), key)


def test_data_of_a_run__filtered_again__has_to_be_its_own_by_a_later_snapshot(cast: Cast) -> None:
    run = register(report(3, name="a"), report(5, name="b"))
    runs.require_later(run, 5)
    with pytest.raises(Unprocessable) as caught:
        runs.require_later(run, 4)
    assert caught.value.code == "too_early"
    own, other = file("a.parquet", 70), file("c.parquet", 70)
    assert runs.others(run, [own, other]) == ["c.parquet"]


# --- Retiring, and that nothing else changes ---


def test_retire__run_in_use__once_with_a_reason_and_an_event(act: dict[str, Any], cast: Cast) -> None:
    run = register()
    retired = runs.retire(run=run, reason="Replaced", actor=cast.provider, source="admin")
    assert retired.is_retired and retired.retirement.reason == "Replaced"
    assert not RemovalCursor.objects.exists() and not TrainingRun.objects.in_use().exists()
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.target, event.reason) == (EventKind.RUN_RETIRED, str(run.pk), "Replaced")
    again = runs.retire(run=run, reason="Again", actor=cast.provider, source="admin")
    assert again.retirement.reason == "Replaced" and ConsentEvent.objects.latest("pk") == event


def test_retire__without_reason__is_refused(cast: Cast) -> None:
    run = register()
    with refusal(Invalid, "required", "reason"):
        runs.retire(run=run, reason=" ", actor=cast.provider, source="admin")
    assert not RunRetirement.objects.exists()


TABLES = (triggers.RUN, triggers.RUN_FILE, triggers.RETIREMENT)
WRITES = [f"UPDATE {table} SET {column} = {column}" for table, column in zip(TABLES, ("name", "name", "reason"))]  # noqa: B905
WRITES += [f"DELETE FROM {table}" for table in TABLES]


@pytest.mark.parametrize("statement", WRITES)
def test_database__change_of_a_run__is_refused(cast: Cast, statement: str) -> None:
    runs.retire(run=register(), reason="over", actor=cast.provider, source="admin")
    with changes_nothing(), pytest.raises(DatabaseError, match=triggers.REFUSAL), transaction.atomic():
        sql(statement)


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("table", TABLES)
def test_database__replacing_a_row_of_a_run__is_refused(cast: Cast, table: str) -> None:
    runs.retire(run=register(), reason="over", actor=cast.provider, source="admin")
    with changes_nothing(), pytest.raises(DatabaseError, match=triggers.REFUSAL), transaction.atomic():
        sql(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")


def test_models__changed_or_deleted_in_python__raise(cast: Cast) -> None:
    run = register()
    for call in (
        run.save,
        run.delete,
        TrainingRun.objects.all().delete,
        lambda: TrainingRun.objects.update(name="x"),
        run.files.get().save,
    ):
        with pytest.raises(TypeError):
            call()
    assert triggers.problems(connection) == []


def test_require_later__snapshot_before_the_runs_own__refused(cast: Cast) -> None:
    run = register(report())
    runs.require_later(run, run.last_position)
    with pytest.raises(Unprocessable, match=f"was filtered at {run.last_position}"):
        runs.require_later(run, run.last_position - 1)


def test_register__in_quarantine__refused_for_its_manifest_opens_the_data(cast: Cast) -> None:
    made = report()
    with in_quarantine(), changes_nothing(), refusal(Unavailable, "restored"):
        runs.register(reports=[made], name="R-1", actor=cast.provider, source="api")
    assert register(made).pk

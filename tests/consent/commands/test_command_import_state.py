"""Moving a whole installation: export_state and import_state."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.db import connection
from django.utils import timezone

from accounts.access import Actor
from accounts.models import Organization, OutgoingMessage, User
from consent import ledger, verification
from consent.models import ConsentEvent, EventPosition, Installation, PendingEvent, WebhookEndpoint
from consent.services import organizations, webhooks
from consent.services.organizations import OrganizationDraft
from consent.transfer import state
from tests.support import cast as casting
from tests.support import log
from tests.support.commands import Run, database, run
from tests.support.factories import PASSWORD, OutgoingMessageFactory, UserFactory
from tests.support.installations import empty, fill, fill_all

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[3]
Lines = list[bytes]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A file of an installation that is empty again."""
    fill()
    path = tmp_path / "state.jsonl"
    assert run("export_state", str(path)).code == 0
    empty()
    return path


def _rewrite(path: Path, change: Callable[[Lines], Lines], *, sign: bool = True) -> None:
    """Change lines, and have the closing line agree unless `sign` is off."""
    *lines, closing = change(path.read_bytes().splitlines(keepends=True))
    if sign:
        closing = json.dumps({"sha256": hashlib.sha256(b"".join(lines)).hexdigest()}).encode() + b"\n"
    path.write_bytes(b"".join([*lines, closing]))


def _refused(path: Path, message: str) -> None:
    """Exit code 1, the message, and nothing changed."""
    before = database()
    result = run("import_state", str(path))
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert "Nothing was changed." in result.err
    assert database() == before


# --- Round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state.jsonl", "state.jsonl.gz"])
def test_import_state__file_of_export_state__every_row_as_it_was(tmp_path: Path, name: str) -> None:
    fill()
    before, path = database(), tmp_path / name
    exported = run("export_state", str(path), "--format", "json")
    assert exported.code == 0
    assert exported.json["tables"]["consent_pendingevent"] == 1
    assert exported.json["tables"]["consent_bulkjobrow"] == 2
    empty()
    imported = run("import_state", str(path), "--format", "json")
    assert (imported.code, imported.json["verified"]) == (0, True)
    assert imported.json["tables"] == exported.json["tables"]
    assert database() == before
    assert verification.verify().problems == []
    again = tmp_path / f"again-{name}"
    assert run("export_state", str(again)).code == 0
    assert again.read_bytes() == path.read_bytes()


# Ended by a move, or Django's own.
LEFT_OUT = {
    "accounts_nameword",  # made of the names
    "account_emailaddress", "account_emailconfirmation", "usersessions_usersession", "django_session",
    "django_admin_log", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions",
    "accounts_user_groups", "accounts_user_user_permissions", "django_migrations", "portal_cache",
}  # fmt: skip


def test_import_state__a_row_in_every_table__every_row_as_it_was(tmp_path: Path) -> None:
    fill_all()
    before, path, again = database(), tmp_path / "state.jsonl", tmp_path / "again.jsonl"
    assert [table for table, rows in before.items() if not rows] == []
    assert run("export_state", str(path)).code == 0
    empty()
    with log.kept():
        result = run("import_state", str(path), "--format", "json")
    assert (result.code, result.json["verified"]) == (0, True), result.err
    assert "events verified" in result.err
    assert database() == before
    assert run("export_state", str(again)).code == 0
    assert again.read_bytes() == path.read_bytes()


def test_export_state__all_tables_of_the_database__in_the_file_or_left_out_on_purpose() -> None:
    there = {name for name in connection.introspection.table_names() if not name.startswith("sqlite_")}
    moved = {model._meta.db_table for model in state.tables()}
    assert there - moved - LEFT_OUT == set() and moved <= there


def test_import_state__progress__tells_of_its_verifying(exported: Path) -> None:
    told: list[int] = []
    state.load_state(state.StateFile(str(exported)), on_verified=told.append)
    assert told[0] == 0 < told[-1] <= ConsentEvent.objects.count()


def test_import_state__portal_goes_on__ids_and_positions_follow_those_of_the_file(exported: Path) -> None:
    assert run("import_state", str(exported)).code == 0
    last, head = ConsentEvent.objects.latest("id").pk, ledger.head()
    person = User.objects.get(email="odin@provider.example")
    assert person.check_password(PASSWORD)
    organizations.create_organization(
        draft=OrganizationDraft(name="New"),
        actor=casting.Actor.from_user(person, confirmed=True),
        source="admin",
    )
    assert ConsentEvent.objects.latest("id").pk > last
    assert ledger.sequence() == 2
    assert list(EventPosition.objects.order_by("position").values_list("position", flat=True)) == list(
        range(1, head + 3)
    )
    assert not PendingEvent.objects.exists()
    assert verification.verify().problems == []


def _manage(url: str, *argv: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *argv], cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, check=True, timeout=600
    )


@pytest.mark.slow
@pytest.mark.only_on("postgresql", reason="another one of SQLite would show less, and costs half a minute")
def test_state__from_sqlite_to_this_database_and_back__three_equal_files(tmp_path: Path) -> None:
    one, two = (f"sqlite:///{tmp_path / name}.sqlite3" for name in ("one", "two"))
    files = [tmp_path / f"{number}.jsonl" for number in range(3)]
    _manage(one, "migrate", "--verbosity", "0")
    _manage(one, "demo")
    _manage(one, "export_state", str(files[0]))
    assert run("import_state", str(files[0])).code == 0
    assert run("export_state", str(files[1])).code == 0
    _manage(two, "migrate", "--verbosity", "0")
    _manage(two, "import_state", str(files[1]))
    _manage(two, "export_state", str(files[2]))
    _manage(two, "verify_ledger")
    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()


# --- Refusals ---------------------------------------------------------------------------------------------------------


def test_import_state__installation_not_empty__refused(exported: Path) -> None:
    UserFactory(email="early@provider.example")
    _refused(exported, "This installation is not empty: there are rows in accounts_user.")


@pytest.mark.parametrize("lines", [0, 1, 2, -2, -1])
def test_import_state__truncated__refused_by_name(exported: Path, lines: int) -> None:
    whole = exported.read_bytes().splitlines(keepends=True)
    exported.write_bytes(b"".join(whole[:lines]))
    _refused(exported, f"{exported}, line ")


def test_import_state__truncated_in_a_line__refused_by_name(exported: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-3])
    _refused(exported, "the file ends here, before its end")


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-20], lambda data: data[:500] + bytes([~data[500] & 255]) + data[501:]]
)
def test_import_state__packed_file_spoiled__refused_by_name(exported: Path, spoil: Callable[[bytes], bytes]) -> None:
    packed = exported.with_suffix(".gz")
    packed.write_bytes(spoil(gzip.compress(exported.read_bytes())))
    _refused(packed, f"{packed}, line ")


def test_import_state__one_letter_altered__refused_by_name(exported: Path) -> None:
    def alter(lines: Lines) -> Lines:
        return [line.replace(b"Kvasir Labs", b"Kvasir Labz") for line in lines]

    _rewrite(exported, alter, sign=False)
    _refused(exported, "the digest is another: the file was altered")


def test_import_state__line_too_many_or_after_the_end__refused(exported: Path) -> None:
    whole = exported.read_bytes()
    exported.write_bytes(whole + b"{}\n")
    _refused(exported, "there is more after the closing line")
    exported.write_bytes(whole)
    _rewrite(exported, lambda lines: [*lines[:-1], lines[-2], lines[-1]])
    _refused(exported, "is not the closing line")


@pytest.mark.parametrize("text", ["", "{}", "[]", "Name,Id\nA,a\n", '{"format": "other", "version": 1}'])
def test_import_state__another_file__refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other"
    path.write_text(text + "\n", encoding="utf-8")
    _refused(path, str(path))


def _header(change: Callable[[Any], None]) -> Callable[[Lines], Lines]:
    def apply(lines: Lines) -> Lines:
        header = json.loads(lines[0])
        change(header)
        return [json.dumps(header).encode() + b"\n", *lines[1:]]

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.update(version=2), "version 2 of the format; this portal reads 1"),
        (lambda header: header["tables"].pop("consent_lock"), "of another version of the portal: its consent_lock"),
        (lambda header: header["tables"]["consent_lock"]["columns"].pop(), "its consent_lock differ"),
        (lambda header: header["tables"]["consent_lock"].update(rows=-1), "how many rows"),
        (lambda header: header.update(tables=[]), "which tables there are"),
    ],
)
def test_import_state__header_of_another_portal__refused(
    exported: Path, change: Callable[[Any], None], message: str
) -> None:
    _rewrite(exported, _header(change))
    _refused(exported, message)


def _row(table: int, change: Callable[[list[Any]], object]) -> Callable[[Lines], Lines]:
    """Changes the first row of the table that stands at this place."""

    def apply(lines: Lines) -> Lines:
        counts = [table["rows"] for table in json.loads(lines[0])["tables"].values()]
        names = list(json.loads(lines[0])["tables"])
        order = [model._meta.db_table for model in state.tables()]
        at = 1 + sum(counts[names.index(name)] for name in order[:table])
        row = json.loads(lines[at])
        change(row)
        return [*lines[:at], json.dumps(row).encode() + b"\n", *lines[at + 1 :]]

    return apply


def _place(model: type[Any], column: str) -> tuple[int, int]:
    return state.tables().index(model), [f.column for f in model._meta.local_concrete_fields].index(column)


@pytest.mark.parametrize(
    ("model", "column", "value", "message"),
    [
        (ConsentEvent, "allowed", False, "does not follow from what was before it"),
        (ConsentEvent, "reason_code", "locked", "does not follow from what was before it"),
        (EventPosition, "position", 1_000, "positions run from 2 to 1000"),
        (Organization, "status", "closed", "open or closed unlike its organization"),
        (User, "is_staff", "yes", "a value can't be meant so"),
        (User, "id", "nobody", "a value can't be meant so"),
        (User, "created_at", "yesterday", "a value can't be meant so"),
    ],
)
def test_import_state__signed_but_not_whole__refused(
    exported: Path, model: type[Any], column: str, value: object, message: str
) -> None:
    table, index = _place(model, column)
    with_layer = model is ConsentEvent

    def change(row: list[Any]) -> None:
        row[index] = value

    def find(lines: Lines) -> Lines:
        if not with_layer:
            return _row(table, change)(lines)
        at = next(n for n, line in enumerate(lines) if b'"subscription.started"' in line)
        row = json.loads(lines[at])
        change(row)
        return [*lines[:at], json.dumps(row).encode() + b"\n", *lines[at + 1 :]]

    _rewrite(exported, find)
    _refused(exported, message)


def test_import_state__value_against_a_constraint__refused_by_the_database(exported: Path) -> None:
    table, index = _place(Organization, "kind")
    _rewrite(exported, _row(table, lambda row: row.__setitem__(index, "club")))
    _refused(exported, "The database said")


def test_import_state__no_such_file__exits_1(tmp_path: Path) -> None:
    result: Run = run("import_state", str(tmp_path / "no.jsonl"))
    assert result.code == 1
    assert "No such file" in result.err


# --- Keys -----------------------------------------------------------------------------------------------------------

_ENCRYPTION = ("a key to encrypt of the one installation", "a key to encrypt of the other installation")
_WEBHOOK = ("a key for webhooks of the one installation", "a key for webhooks of the other installation")


def _with_secrets(settings: Any, path: Path) -> None:
    """An installation with every sort of secret, exported, and empty again."""
    settings.ENCRYPTION_KEYS, settings.WEBHOOK_KEYS = _ENCRYPTION[:1], _WEBHOOK[:1]
    fill()
    owner = User.objects.get(email="ada@kvasir.example")
    TOTP.activate(owner, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    OutgoingMessageFactory(recipient=owner.email, subject="s", body="a link that opens an account")
    actor = Actor.from_user(User.objects.get(is_staff=True), confirmed=True)
    organization = Organization.objects.get(name="Kvasir Labs")
    webhooks.create_endpoint(source="admin", organization=organization, url="https://example.com/hook", actor=actor)
    assert run("export_state", str(path)).code == 0
    empty()


def test_export_state__secrets__only_ciphertexts_and_no_key(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "state.jsonl"
    _with_secrets(settings, path)
    text = path.read_text(encoding="utf-8")
    clear = (
        "JBSWY3DPEHPK3PXP",
        "a link that opens",
        *_ENCRYPTION,
        *_WEBHOOK,
        settings.SECRET_KEY,
        settings.API_KEY_PEPPER,
        "whsec_",
    )
    assert [each for each in clear if each in text] == []


@pytest.mark.parametrize(
    ("setting", "here", "said"),
    [
        (
            "ENCRYPTION_KEYS",
            _ENCRYPTION[1:],
            ["second factors that can't be read: 1", "waiting messages that can't be read"],
        ),
        ("WEBHOOK_KEYS", _WEBHOOK[1:], ["webhooks that can't be signed: 1", "to WEBHOOK_KEYS"]),
        ("API_KEY_PEPPER", "another pepper of another installation", ["API keys that would no longer work: 1"]),
    ],
)
def test_import_state__another_key_here__refused_and_named_unless_they_are_lost(
    tmp_path: Path, settings: Any, setting: str, here: Any, said: list[str]
) -> None:
    path = tmp_path / "state.jsonl"
    _with_secrets(settings, path)
    setattr(settings, setting, here)
    for text in said:
        _refused(path, text)
    result = run("import_state", str(path), "--without-keys", "--format", "json")
    assert result.code == 0 and all(text in result.err for text in said)
    assert all(problem in result.err for problem in result.json["lost"])


def test_import_state__old_key_second_in_the_list__everything_is_of_use(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "state.jsonl"
    _with_secrets(settings, path)
    settings.ENCRYPTION_KEYS, settings.WEBHOOK_KEYS = _ENCRYPTION[::-1], _WEBHOOK[::-1]
    result = run("import_state", str(path), "--format", "json")
    assert (result.code, result.json["lost"]) == (0, [])
    assert OutgoingMessage.objects.get().body == "a link that opens an account"


def test_import_state__webhooks_of_another_secret_key__refused(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "state.jsonl"
    _with_secrets(settings, path)
    run("import_state", str(path))
    WebhookEndpoint.objects.update(key_id="")
    run("export_state", str(path), "--force")
    empty()
    settings.SECRET_KEY = "another secret key of another installation"
    _refused(path, "webhooks whose signing secret would be another: 1")


def test_import_state__header_says_nothing_of_keys__refused(exported: Path) -> None:
    def without(lines: Lines) -> Lines:
        header = json.loads(lines[0])
        del header["keys"]
        return [json.dumps(header).encode() + b"\n", *lines[1:]]

    _rewrite(exported, without)
    _refused(exported, "does not say by which keys its secrets were made")


@pytest.mark.django_db
@pytest.mark.parametrize("quarantine", ["", "head_lower"])
def test_import_state__installation__is_the_same_with_a_witness_of_its_own(tmp_path: Path, quarantine: str) -> None:
    path = tmp_path / "state.jsonl"
    fill()
    at = {"quarantine": quarantine, "quarantined_at": timezone.now() if quarantine else None}
    Installation.objects.update(epoch=1, witness_kept=True, witnessed_position=3, vouches=5, **at)
    before = Installation.objects.current()
    assert run("export_state", str(path)).code == 0
    empty()
    assert run("import_state", str(path)).code == 0
    after = Installation.objects.current()
    assert (after.pk, after.epoch, after.quarantine) == (before.pk, before.epoch, quarantine)
    assert after.witness_kept is bool(quarantine)

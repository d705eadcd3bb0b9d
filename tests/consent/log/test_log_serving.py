"""What the log serves is what C2SP's tlog-tiles says, at signed sizes alone; all else has one exact refusal."""

import base64
import datetime as dt
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey
from config.secret_files import from_file
from consent import ledger
from consent.log import appending, checkpoints, checks, origins, serving, store
from consent.models import LogCheckpoint, LogOrigin, LogTile
from consent.proofs import leaf, note, tree
from tests.support.callers import World, assert_problem, by_key, make_world
from tests.support.clocks import clock_at
from tests.support.ledger_guards import behind_the_guards, sql
from tests.support.log import ORIGIN, SETTINGS, SIGNER, add_events, kept, step
from tests.support.recordings import Recorded

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SIZES = (3, 258, 600)
TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
FOREVER, SOON = "max-age=31536000, immutable", "max-age=5"
ABOUT, CHECKPOINT = "/.well-known/training-consent-log.json", "/log/checkpoint"
EVERYTHING = (CHECKPOINT, "/log/tile/0/000", "/log/tile/entries/002.p/88", ABOUT)


def make_log() -> None:
    """A log with a checkpoint at each of SIZES."""
    with kept():
        for before, size in zip((0, *SIZES), SIZES, strict=False):
            add_events(size - before)
            step()


def make_logged_world() -> World:
    """The cast and its callers, and a log of as many events that was signed once."""
    with kept():
        made = make_world()
        ledger.sequence()
        add_events(SIZES[-1] - ledger.head())
        step()
    return made


@pytest.fixture(autouse=True)
def shown(settings: Any) -> None:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)


@pytest.fixture
def logged(db: None, recorded: Recorded[None]) -> None:
    recorded(make_log).load()


@pytest.fixture
def world(db: None, recorded: Recorded[World]) -> World:
    return recorded(make_logged_world).load()


@pytest.fixture
def entries(logged: None) -> list[bytes]:
    return [leaf.entry(bytes(each.blinding.salt), each.body) for each in store.read(0, SIZES[-1])]


def read_of(entries: list[bytes]) -> tree.Read:
    """The hash of a complete subtree, made from its entries alone."""
    leaves = [tree.leaf_hash(each) for each in entries]

    def read(level: int, index: int) -> bytes:
        found = leaves[index << level : index + 1 << level]
        assert len(found) == 1 << level
        while len(found) > 1:
            found = [tree.node_hash(*found[at : at + 2]) for at in range(0, len(found), 2)]
        return found[0]

    return read


def demanded() -> Iterator[tuple[str, int, int]]:
    """(level or `entries`, number, width) of all that trees of these SIZES have, as tlog-tiles defines it."""
    for size in SIZES:
        for level, count in (("entries", size), ("0", size), ("1", size // 256), ("2", size // 65_536)):
            yield from ((level, number, 256) for number in range(count // 256))
            if count % 256:
                yield level, count // 256, count % 256


def path_of(level: str, number: int, width: int) -> str:
    return f"/log/tile/{level}/{number:03}" + ("" if width == 256 else f".p/{width}")


# --- What is there ----------------------------------------------------------------------------------------------------


def test_checkpoint__newest__is_signed_over_the_root_of_the_entries(client: Client, entries: list[bytes]) -> None:
    answer = client.get(CHECKPOINT)
    assert (answer.status_code, answer["Content-Type"]) == (200, TEXT)
    assert answer["Cache-Control"] == f"public, {SOON}"
    opened = note.open_note(answer.content.decode(), [SIGNER.verifier])
    assert opened.text == f"{ORIGIN}\n600\n{base64.b64encode(tree.root(read_of(entries), 600)).decode()}\n"
    assert answer.content.decode() == LogCheckpoint.objects.get(size=600).note
    for size in SIZES:
        assert bytes(LogCheckpoint.objects.get(size=size).root) == tree.root(read_of(entries), size)


def test_tiles__every_width_around_what_was_signed__only_what_a_signed_size_has(
    client: Client, entries: list[bytes]
) -> None:
    read, there = read_of(entries), set(demanded())
    assert len(there) == 12
    widths = sorted({1, 2, 256} | {size % 256 + by for size in SIZES for by in (-1, 0, 1)})
    for place in [
        (level, number, width) for level in ("entries", "0", "1", "2") for number in range(4) for width in widths
    ]:
        level, number, width = place
        answer = client.get(path_of(*place))
        if place not in there:
            assert_problem(answer, 404, "not_found")
            continue
        first = number * 256
        expected = (
            b"".join(struct.pack(">H", len(each)) + each for each in entries[first : first + width])
            if level == "entries"
            else b"".join(read(8 * int(level), at) for at in range(first, first + width))
        )
        assert (answer.status_code, answer.content) == (200, expected), place
        assert (answer["Content-Type"], answer["Cache-Control"]) == (BYTES, f"public, {FOREVER}")


def test_entries__each__32_bytes_after_their_length(client: Client, entries: list[bytes]) -> None:
    content = client.get("/log/tile/entries/000").content
    assert len(content) == 256 * 34
    assert {content[at : at + 2] for at in range(0, len(content), 34)} == {b"\0\x20"}
    assert [content[at + 2 : at + 34] for at in range(0, len(content), 34)] == entries[:256]


def test_tiles__of_higher_levels_and_large_numbers__at_their_paths(client: Client) -> None:
    every = [tree.leaf_hash(bytes([n % 251])) for n in range(65_536)]  # no events: the paths are what is tried
    tiles = appending.Edge(0).add(every)
    LogTile.objects.bulk_create(LogTile(level=t[0], index=t[1], hashes=t[2], root=t[3]) for t in tiles)
    LogTile.objects.create(level=0, index=1_234_067, hashes=b"x" * 8192, root=bytes(32))
    first = LogOrigin.objects.create(number=1, name=ORIGIN, begun_at=NOON)
    LogCheckpoint.objects.create(size=65_536, origin=first, root=bytes(32), note="-", signed_at=NOON)
    level_0 = [tile for tile in tiles if tile[0] == 0]
    assert client.get("/log/tile/1/000").content == b"".join(tile[3] for tile in level_0)
    assert client.get("/log/tile/2/000.p/1").content == next(tile[3] for tile in tiles if tile[0] == 1)
    assert client.get("/log/tile/0/255").content == level_0[255][2]
    for path in ("0/256", "1/000.p/255", "1/000.p/1", "2/000", "2/000.p/2", "3/000.p/1", "0/x001/x234/067"):
        assert_problem(client.get(f"/log/tile/{path}"), 404, "not_found")
    size = 1_234_068 * 256
    LogCheckpoint.objects.create(size=size, origin=first, root=bytes(32), note="-", signed_at=NOON)
    assert client.get("/log/tile/0/x001/x234/067").content == b"x" * 8192


def test_places__of_each_signed_size__are_served_at_the_same_paths(logged: None, client: Client) -> None:
    paths = {f"/log/tile/{place.path()}" for size in SIZES for place in serving.places(size)}
    assert paths == {path_of(*each) for each in demanded()}
    assert {client.get(path).status_code for path in paths} == {200}


# --- What is not ------------------------------------------------------------------------------------------------------

NOT_THERE = {
    "no place": ("", "0", "0/", "/", "checkpoint", "entries", "entries/"),
    "beyond the head": ("0/003", "0/999", "entries/003", "1/001", "2/000", "63/000", "0/x001/000"),
    "full, but not yet": ("0/002", "entries/002", "1/000"),
    "partial at an unsigned size": (
        "0/002.p/87", "0/002.p/89", "0/000.p/2", "0/000.p/4", "0/001.p/1", "0/001.p/255", "1/000.p/3",
        "entries/002.p/87", "entries/000.p/4",
    ),
    "level above 63": ("64/000", "64/000.p/1", "99/000", "100/000", "255/000.p/1", "-1/000"),
    "leading zeroes of a level": ("00/000", "01/000.p/1", "063/000"),
    "leading zeroes of a width": ("0/000.p/03", "0/000.p/003", "0/002.p/088"),
    "width of nothing or of all": ("0/000.p/0", "0/000.p/256", "0/000.p/257", "0/000.p/999", "0/000.p/1000"),
    "no width": ("0/000.p", "0/000.p/", "0/000.p/x", "0/000.p/-3", "0/000.p/3/", "0/000.p/3.p/3", "0/000/p/3"),
    "malformed number": ("0/0", "0/00", "0/0000", "0/1000", "0/000/", "0/+00", "0/ 00", "0/٠٠٠", "0/0x0", "0/000%0A"),
    "malformed groups": (
        "0/x000/000", "0/x000/x000/001", "0/x001", "0/x001/x000", "0/X001/000", "0/x1/000", "0/x0001/000",
        "0/x001/00", "0/001/000", "0/x001000", "0/x001//000", "0//000", "0/x001/x/000", "0/xx001/000",
    ),
    "more than a number can be": (
        "0/" + "x999/" * 6 + "999", "63/" + "x999/" * 6 + "999.p/255", "entries/" + "x999/" * 1_500 + "999",
        "0/" + "x999/" * 6 + "x999/999",
    ),
    "other kinds": ("Entries/000", "data/000", "entries/0/000", "0/entries/000", "8/0/000", "../checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("why", NOT_THERE)
def test_tile__nothing_at_this_path__404_that_nobody_keeps(logged: None, client: Client, why: str) -> None:
    for path in NOT_THERE[why]:
        answer = client.get(f"/log/tile/{path}")
        assert_problem(answer, 404, "not_found")
        assert answer["Cache-Control"] == "no-store", path
        assert "ETag" not in answer


def test_parse__any_place__path_and_back() -> None:
    numbers = (0, 1, 999, 1_000, 1_234_067, 999_999_999, 2**63 // 256)
    for level in (None, 0, 9, 10, 63):
        for number in numbers:
            for width in (1, 9, 10, 255, 256):
                place = serving.Place(level, number, width)
                assert serving.parse(place.path()) == place


def test_tile__number_of_many_digits__refused_without_reading_it(logged: None, client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert_problem(client.get("/log/tile/0/" + "x999/" * 5_000 + "999"), 404, "not_found")
    assert len(queries) == 0


def test_checkpoint__none_yet__404(client: Client) -> None:
    add_events(2)
    assert appending.Appender().append() == 2  # in the log, but not signed
    for path in (CHECKPOINT, "/log/tile/0/000.p/2", "/log/tile/entries/000.p/2"):
        assert_problem(client.get(path), 404, "not_found")


def test_tiles__appended_but_not_signed__not_shown(logged: None, client: Client) -> None:
    add_events(200)
    assert appending.Appender().append() == 200
    assert LogTile.objects.filter(level=0).count() == 3
    for path in ("0/002", "0/003.p/32", "1/000.p/3", "entries/002", "entries/003.p/32"):
        assert_problem(client.get(f"/log/tile/{path}"), 404, "not_found")
    assert client.get("/log/tile/0/002.p/88").status_code == 200


@pytest.mark.parametrize("path", EVERYTHING)
def test_log__off__404_that_says_so(world: World, client: Client, settings: Any, path: str) -> None:
    settings.LOG_SIGNING_KEY = ""
    for public in (True, False):
        settings.LOG_PUBLIC = public
        for asked in (client.get(path), world.operator_key.get(path), client.head(path)):
            assert (asked.status_code, asked["Content-Type"]) == (404, "application/problem+json")
            assert asked["Access-Control-Allow-Origin"] == "*" and asked["Cache-Control"] == "no-store"
        assert_problem(client.get(path), 404, "log_off")


@pytest.mark.parametrize("path", EVERYTHING)
def test_log__served_by_a_process_with_the_verifier_key_alone__the_same(
    logged: None, client: Client, settings: Any, path: str
) -> None:
    before = client.get(path)
    settings.LOG_SIGNING_KEY, settings.LOG_VERIFIER_KEY = "", [str(SIGNER.verifier)]
    after = client.get(path)
    assert (after.status_code, after.content, after["ETag"]) == (200, before.content, before["ETag"])


# --- A log that is not as it was written ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "paths"),
    [
        ("DELETE FROM consent_eventsalt WHERE position > 590", ("0/002.p/88", "entries/002.p/88")),
        ("DELETE FROM consent_eventsalt WHERE position > 200", ("entries/000", "entries/001", "entries/002.p/88")),
        ("DELETE FROM consent_eventsalt WHERE position = 100", ("entries/000", "entries/000.p/3")),
        ("DELETE FROM consent_logtile WHERE level = 0", ("1/000.p/1", "1/000.p/2")),
    ],
)
def test_tile__rows_of_it_are_gone__never_cut_short(logged: None, statement: str, paths: tuple[str, ...]) -> None:
    client = Client(raise_request_exception=False)
    before = {path: client.get(f"/log/tile/{path}").content for path in paths}
    with behind_the_guards():
        sql(statement)
    for path in paths:
        answer = client.get(f"/log/tile/{path}")
        if answer.status_code == 200:
            assert answer.content == before[path], path
        else:
            assert_problem(answer, 500, "error")
            assert "ETag" not in answer and answer["Cache-Control"] == "no-store"
    assert client.get(f"/log/tile/{paths[0]}").status_code == 500


# --- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERYTHING)
def test_etag__sent_back__304_without_content(logged: None, client: Client, path: str) -> None:
    first = client.get(path)
    tag = first["ETag"]
    assert tag[0] == tag[-1] == '"' and len(tag) == 34
    for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": named})
        assert (again.status_code, again.content) == (304, b""), named
        for header in ("ETag", "Cache-Control", "Access-Control-Allow-Origin"):
            assert again[header] == first[header]
    other = client.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_etag__new_checkpoint__another_one(logged: None, client: Client) -> None:
    tag, tile = client.get(CHECKPOINT)["ETag"], client.get("/log/tile/0/002.p/88")["ETag"]
    add_events(1)
    step()
    answer = client.get(CHECKPOINT, headers={"If-None-Match": tag})
    assert answer.status_code == 200 and answer["ETag"] != tag and b"\n601\n" in answer.content
    assert client.get("/log/tile/0/002.p/88", headers={"If-None-Match": tile}).status_code == 304
    assert client.get("/log/tile/0/002.p/89").status_code == 200


@pytest.mark.parametrize("path", EVERYTHING)
def test_head__as_get__headers_alone(logged: None, client: Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for header in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Access-Control-Allow-Origin"):
        assert head[header] == got[header], header
    assert int(head["Content-Length"]) == len(got.content)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", [*EVERYTHING, "/log/tile/64/000"])
def test_other_methods__405_and_nothing_changed(logged: None, settings: Any, method: str, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    before = list(LogCheckpoint.objects.values_list()), list(LogTile.objects.values_list())
    for public in (True, False):
        settings.LOG_PUBLIC = public
        with CaptureQueriesContext(connection) as queries:
            answer = client.generic(method, path, b"{}")
        assert_problem(answer, 405, "method_not_allowed")
        assert answer["Allow"] == "GET, HEAD" and answer["Access-Control-Allow-Origin"] == "*"
        assert len(queries) == 0
    assert before == (list(LogCheckpoint.objects.values_list()), list(LogTile.objects.values_list()))


def asked(client: Client, path: str) -> tuple[HttpResponse, int]:
    """The answer, and how many queries it took."""
    with CaptureQueriesContext(connection) as queries:
        return client.get(path), len(queries)


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        (CHECKPOINT, 1), (ABOUT, 1), ("/log/tile/0/000", 2), ("/log/tile/0/002.p/88", 4), ("/log/tile/entries/000", 2),
        ("/log/tile/1/000.p/2", 4), ("/log/tile/0/009", 1), ("/log/tile/64/000", 0),
    ],
)  # fmt: skip
def test_session__signed_in_or_not__no_cookie_and_the_same_few_queries(
    world: World, client: Client, settings: Any, path: str, queries: int
) -> None:
    settings.REQUIRE_MFA = True  # as it is outside of tests
    client.get("/log/tile/0/00")  # so that what is looked up once for the process is
    plain, count = asked(client, path)
    signed_in, signed_in_count = asked(world.operator.client, path)
    assert (count, signed_in_count) == (queries, queries)
    assert signed_in.status_code == plain.status_code
    for answer in (plain, signed_in):
        assert not answer.cookies
        assert "cookie" not in answer.get("Vary", "").lower()
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer


# --- LOG_PUBLIC=false -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHECKPOINT, "/log/tile/0/000", "/log/tile/entries/002.p/88"])
def test_not_public__only_with_an_operators_key(world: World, client: Client, settings: Any, path: str) -> None:
    public = client.get(path)
    settings.LOG_PUBLIC = False
    for caller in (world.anonymous, world.operator, world.owner):  # a session is nobody here
        assert_problem(caller.get(path), 401, "not_authenticated")
    for header in ("Bearer tck_wrong", "Basic b3A6b3A=", "Bearer"):
        assert_problem(client.get(path, headers={"Authorization": header}), 401, "authentication_failed")
    for caller in (world.key, world.foreign_key, by_key("webhooks:write", organization=world.cast.labs)):
        assert_problem(caller.get(path), 403, "forbidden")
    for caller in (world.operator_key, world.narrow_key):
        answer = caller.get(path)
        assert (answer.status_code, answer.content, answer["ETag"]) == (200, public.content, public["ETag"])
        assert answer["Cache-Control"] == public["Cache-Control"].replace("public", "private")
        assert caller("HEAD", path).status_code == 200
        assert caller.get(path, If_None_Match=answer["ETag"]).status_code == 304


def test_not_public__refusals__are_the_same_for_what_is_there_and_what_is_not(world: World, settings: Any) -> None:
    settings.LOG_PUBLIC = False
    for path in ("/log/tile/0/000", "/log/tile/0/003", "/log/tile/64/000", "/log/tile/entries/002.p/87"):
        none, foreign = world.anonymous.get(path), world.key.get(path)
        assert (none.status_code, foreign.status_code) == (401, 403)
        assert none["WWW-Authenticate"] == 'Bearer realm="api"'
        assert none["Cache-Control"] == foreign["Cache-Control"] == "no-store"
        assert none["Access-Control-Allow-Origin"] == foreign["Access-Control-Allow-Origin"] == "*"
        # ETags that somebody has from elsewhere tell them nothing either.
        assert world.anonymous.get(path, If_None_Match="*").status_code == 401


def test_not_public__key_revoked__refused(world: World, settings: Any) -> None:
    settings.LOG_PUBLIC = False
    assert world.operator_key.get(CHECKPOINT).status_code == 200
    ApiKey.objects.filter(organization=None).update(revoked_at=NOON)
    assert_problem(world.operator_key.get(CHECKPOINT), 401, "authentication_failed")


# --- About the log ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("public", [True, False])
def test_about__everybody__how_to_read_and_check_it(logged: None, client: Client, settings: Any, public: bool) -> None:
    settings.LOG_PUBLIC = public
    answer = client.get(ABOUT)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer["Cache-Control"] == f"{'public' if public else 'private'}, max-age=300"
    assert json.loads(answer.content) == {
        "origin": ORIGIN,
        "verifier_keys": [str(SIGNER.verifier)],
        "public": public,
        "checkpoint": f"{settings.PORTAL_URL}/log/checkpoint",
        "tiles": f"{settings.PORTAL_URL}/log/tile/",
        "seconds_between_checkpoints": 0,
        "leaf": "training-consent-event/v1",
        "ended": [],
    }
    assert SIGNER.private_text().encode() not in answer.content


def test_about__before_the_first_checkpoint_and_with_an_earlier_key__says_both_keys(
    client: Client, settings: Any
) -> None:
    earlier = note.Signer(ORIGIN, bytes(32)).verifier
    settings.LOG_VERIFIER_KEY = [str(earlier), str(SIGNER.verifier)]
    assert json.loads(client.get(ABOUT).content)["verifier_keys"] == [str(earlier), str(SIGNER.verifier)]


# --- Settings ---------------------------------------------------------------------------------------------------------

OTHER = note.Signer("elsewhere.example/log", bytes(32))


@pytest.mark.parametrize(
    ("signing", "verifying", "expected"),
    [
        (SIGNER.private_text(), [], {}),
        (SIGNER.private_text(), [str(SIGNER.verifier)], {}),
        ("", [str(SIGNER.verifier)], {}),
        ("", [], {"consent.I003": "LOG_SIGNING_KEY is not set"}),
        ("a key", [], {"consent.E002": "LOG_SIGNING_KEY is malformed"}),
        (SIGNER.private_text()[:-8], [], {"consent.E002": "LOG_SIGNING_KEY is malformed"}),
        (str(SIGNER.verifier), [], {"consent.E002": "LOG_SIGNING_KEY is malformed"}),
        (SIGNER.private_text(), ["a key"], {"consent.E002": "LOG_VERIFIER_KEY is malformed"}),
        ("", [SIGNER.private_text()], {"consent.E002": "LOG_VERIFIER_KEY is malformed"}),
        (OTHER.private_text(), [], {"consent.E002": "LOG_SIGNING_KEY is a key of elsewhere.example/log"}),
        ("", [str(OTHER.verifier)], {"consent.E002": "LOG_VERIFIER_KEY is a key of elsewhere.example/log"}),
    ],
)
def test_checks__keys__each_fault_named_and_no_secret_shown(
    settings: Any, signing: str, verifying: list[str], expected: dict[str, str]
) -> None:
    settings.LOG_SIGNING_KEY, settings.LOG_VERIFIER_KEY = signing, verifying
    found = {each.id: each for each in (*checks.log_keys_are_keys(None), *checks.log_is_kept(None))}
    assert found.keys() == expected.keys()
    for ident, text in expected.items():
        assert text in found[ident].msg and "make_log_key" in (found[ident].hint or "")
        assert SIGNER.private_text().rpartition("+")[2] not in found[ident].msg
    registered = {each.id for each in run_checks(tags=["security"], include_deployment_checks=True)}
    assert registered & {"consent.E002", "consent.I003"} == expected.keys()


def test_signing_key__in_a_file__read_without_the_space_around_it(tmp_path: Path) -> None:
    file = tmp_path / "log key"
    file.write_text(f"\n{SIGNER.private_text()}\n")
    assert from_file(f" file://{file} ") == SIGNER.private_text()
    assert from_file(f" {SIGNER.private_text()}\n") == SIGNER.private_text()
    assert from_file("") == ""


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_signing_key__file_that_has_none__named_and_nothing_starts(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=str(file)):
        from_file(f"file://{file}")
    with pytest.raises(ImproperlyConfigured, match=str(tmp_path)):
        from_file(f"file://{tmp_path}")


# --- How it stands ----------------------------------------------------------------------------------------------------


def off(settings: Any) -> None:
    settings.LOG_SIGNING_KEY = ""


def waiting(_settings: Any) -> None:
    with clock_at(ledger.clock() - dt.timedelta(hours=1)):
        add_events(2)


def paused(_settings: Any) -> None:
    origins.pause()


def another_name(settings: Any) -> None:
    settings.LOG_ORIGIN = "elsewhere.example/log"


def malformed(settings: Any) -> None:
    settings.LOG_SIGNING_KEY = "a key"


def other_root(_settings: Any) -> None:
    with behind_the_guards():
        sql("UPDATE consent_logcheckpoint SET root = %s WHERE size = 600", [bytes(32)])


def cut_short(_settings: Any) -> None:
    with behind_the_guards():
        sql("DELETE FROM consent_eventsalt WHERE position > 590")


STANDINGS = [
    (off, "off", 0, 0), (lambda _settings: None, "ok", 600, 0), (waiting, "behind", 600, 2), (paused, "paused", 600, 0),
    (another_name, "paused", 600, 0), (malformed, "paused", 600, 0), (other_root, "corrupt", 600, 0),
    (cut_short, "corrupt", 590, 0),
]  # fmt: skip


@pytest.mark.parametrize(("make", "state", "size", "unsigned"), STANDINGS)
def test_standing__each_state__in_readyz_and_metrics(
    logged: None, client: Client, settings: Any, make: Any, state: str, size: int, unsigned: int
) -> None:
    make(settings)
    ready = client.get("/readyz")
    assert ready.status_code == 200  # nothing waits for the log
    assert json.loads(ready.content)["checks"]["log"] == state
    told = client.get("/metrics").content.decode().splitlines()
    for each in ("off", "ok", "behind", "paused", "corrupt"):
        assert f'consent_log_state{{state="{each}"}} {float(each == state)}' in told
    assert f"consent_log_size {float(size)}" in told
    assert f"consent_log_unsigned {float(unsigned)}" in told


@pytest.mark.parametrize(("seconds", "microseconds", "state"), [(80, 0, "ok"), (80, 1, "behind"), (79, 0, "ok")])
def test_standing__event_waits__behind_only_after_a_minute_and_two_checkpoints(
    settings: Any, seconds: int, microseconds: int, state: str
) -> None:
    settings.LOG_CHECKPOINT_SECONDS = 10
    with clock_at(NOON):
        add_events(1)
    with clock_at(NOON + dt.timedelta(seconds=seconds, microseconds=microseconds)):
        assert checkpoints.standing().state == state


# --- Fixed times ------------------------------------------------------------------------------------------------------


def test_checkpoints__every_ten_seconds__tell_only_between_which_an_event_came(client: Client, settings: Any) -> None:
    settings.LOG_CHECKPOINT_SECONDS = 10
    work = checkpoints.Step()
    signed = []
    # (seconds after noon, events that come then): those at :30 itself wait for :40.
    for seconds, count in ((3, 2), (5, 0), (9.999, 0), (10, 0), (12, 1), (19, 1), (20, 0), (25, 0), (30, 1), (31, 0),
                           (39, 0), (47, 0), (60, 0)):  # fmt: skip
        with clock_at(NOON + dt.timedelta(seconds=seconds)):
            if count:
                add_events(count)
            work()
            answer = client.get(CHECKPOINT)
            signed.append((seconds, int(answer.content.split(b"\n")[1]) if answer.status_code == 200 else 0))
    assert signed == [
        (3, 0), (5, 0), (9.999, 0), (10, 2), (12, 2), (19, 2), (20, 4), (25, 4), (30, 4), (31, 4), (39, 4), (47, 5),
        (60, 5),
    ]  # fmt: skip
    assert list(LogCheckpoint.objects.order_by("size").values_list("size", flat=True)) == [2, 4, 5]
    assert client.get("/log/tile/0/000.p/3").status_code == 404

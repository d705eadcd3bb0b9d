"""Sessions: how long they last, what is stored of them, and under which names browsers keep them."""

import base64
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import keys
from accounts.sessions import SessionStore
from tests.support.cast import Cast
from tests.support.ledger_guards import everything
from tests.support.sign_in import sign_in, signed_in

ROOT = Path(__file__).parents[2]
MINUTE, DAY = 60, 86_400
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def usual_limit(settings: Any) -> None:
    """Elsewhere in the tests it is a day, see tests/environment.py."""
    settings.OPERATOR_IDLE_MINUTES = 30


def age(client: Client, **seconds: int) -> None:
    """As if that much time had gone by since."""
    session = client.session
    for name, value in seconds.items():
        session[name] -= value
    session.save()


# --- How long -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "seconds", "goes_on"),
    [
        ("operator", 29 * MINUTE, True), ("operator", 31 * MINUTE, False),
        ("owner", 31 * MINUTE, True), ("owner", 7 * DAY - MINUTE, True), ("owner", 7 * DAY + MINUTE, False),
        ("member", 6 * DAY, True), ("auditor", 8 * DAY, False),
    ],
)  # fmt: skip
def test_session__nobody_there__ends_by_role(cast: Cast, role: str, seconds: int, goes_on: bool) -> None:
    client = Client()
    sign_in(client, getattr(cast, role).email)
    age(client, seen=seconds)
    key, before = client.session.session_key, everything()
    assert signed_in(client) is goes_on
    assert Session.objects.filter(session_key=key).exists() is goes_on
    assert everything() == before


@pytest.mark.parametrize("path", ["/api/v1/products/", "/admin/"])
def test_session__ended__on_every_face(cast: Cast, path: str) -> None:
    client = Client()
    sign_in(client, cast.operator.email)
    assert client.get(path).status_code == 200
    age(client, seen=31 * MINUTE)
    assert client.get(path).status_code == (401 if path.startswith("/api/") else 302)


def test_session__ended__write_changes_nothing(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.operator.email)
    age(client, seen=31 * MINUTE)
    before = everything()
    answer = client.post(f"/o/{cast.labs.pk}/le-chat/", {"choice": "opted_out"})
    assert answer.status_code == 302 and answer["Location"].startswith("/sign-in/")
    assert everything() == before


@pytest.mark.parametrize(("days", "goes_on"), [(13, True), (15, False)])
def test_session__always_in_use__ends_all_the_same(cast: Cast, days: int, goes_on: bool) -> None:
    client = Client()
    sign_in(client, cast.owner.email)
    age(client, began=days * DAY)
    assert signed_in(client) is goes_on


def test_session__becomes_an_operators__the_shorter_limit_holds(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.member.email)
    age(client, seen=2 * 60 * MINUTE)
    type(cast.member).objects.filter(pk=cast.member.pk).update(is_staff=True)
    assert not signed_in(client)


def test_session__in_use__noted_once_a_minute_and_no_more(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.owner.email)
    signed_in(client)
    for seconds, written in ((0, 0), (30, 0), (90, 1), (0, 0)):
        age(client, seen=seconds)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert signed_in(client)
        assert sum(bool(re.match("UPDATE|INSERT", each["sql"])) for each in queries) == written
    # Twenty minutes and then twenty more, with somebody there between: not forty without anybody.
    operator = Client()
    sign_in(operator, cast.operator.email)
    for _ in range(3):
        age(operator, seen=20 * MINUTE)
        assert signed_in(operator)


def test_session__page_that_refreshes_itself__is_nobody(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.operator.email)
    age(client, seen=20 * MINUTE)
    seen = client.session["seen"]
    client.get("/settings/data-controls/", headers={"X-Automatic": "true"})
    assert client.session["seen"] == seen


def test_templates__every_element_that_polls__says_so() -> None:
    polling = [
        tag
        for path in ROOT.joinpath("templates").rglob("*.html")
        for tag in re.findall(r"<[^<]*?hx-trigger=\"[^\"]*every[^\"]*\"[^<]*", path.read_text(encoding="utf-8"))
    ]
    assert polling and all("X-Automatic" in tag for tag in polling)


def test_session__noted_meanwhile__what_another_request_wrote_stays(cast: Cast) -> None:
    """Two tabs: noting that somebody was there writes nothing else back."""
    client = Client()
    sign_in(client, cast.owner.email)
    age(client, seen=2 * MINUTE)
    store = SessionStore(client.session.session_key)
    store["confirmed"] = "just now"
    store.save()
    assert signed_in(client)
    assert client.session["confirmed"] == "just now" and time.time() - client.session["seen"] < MINUTE


def test_session__of_before_the_limits__goes_on_and_is_limited(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.operator.email)
    data = {name: value for name, value in client.session.items() if name not in ("seen", "began")}
    clear = signing.dumps(
        data, salt="django.contrib.sessions.SessionStore", serializer=client.session.serializer, compress=True
    )
    Session.objects.update(session_data=clear)
    assert signed_in(client)
    age(client, seen=31 * MINUTE)
    assert not signed_in(client)


# --- What is stored ---------------------------------------------------------------------------------------------------


def test_session__data__encrypted(cast: Cast, settings: Any) -> None:
    client = Client()
    sign_in(client, cast.owner.email)
    [stored] = Session.objects.values_list("session_data", flat=True)
    assert keys.is_encrypted(stored) and signed_in(client)
    settings.ENCRYPTION_KEYS = ["another key of another installation"]
    settings.SECRET_KEY = "another secret key of another installation"
    assert not signed_in(client)


# --- Names and flags --------------------------------------------------------------------------------------------------


def cookies(**environment: str) -> dict[str, dict[str, Any]]:
    """What a new installation with these settings sets when somebody opens the sign-in page and signs in."""
    program = """
import json, django
django.setup()
from django.conf import settings
from django.core.management import call_command
call_command("migrate", verbosity=0)
from accounts.models import User
from django.test import Client
User.objects.create_user("ada@kvasir.example", "a password of nobody", name="Ada")
client = Client(SERVER_NAME="localhost")
client.get("/sign-in/", secure=settings.HTTPS)
client.post("/sign-in/", {"login": "ada@kvasir.example", "password": "a password of nobody"}, secure=settings.HTTPS)
client.post("/language/", {"language": "fr"}, secure=settings.HTTPS)
print(json.dumps({name: dict(each) for name, each in client.cookies.items()}))
"""
    settings = {
        **os.environ, "DATABASE_URL": "sqlite:///:memory:", "DJANGO_SETTINGS_MODULE": "config.settings",
        "REQUIRE_MFA": "false", **environment,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    import json

    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.only_on("sqlite")
def test_cookies__https__host_names_secure_and_of_this_host_alone() -> None:
    found = cookies(DEBUG="true", HTTPS="true")
    assert {"__Host-session", "__Host-csrf", "django_language"} <= set(found)
    assert not {"sessionid", "csrftoken"} & set(found)
    for name, flags in found.items():
        assert (flags["secure"], flags["path"], flags["domain"], flags["samesite"]) == (True, "/", "", "Lax"), name
        assert flags["httponly"] is True, name


@pytest.mark.slow
@pytest.mark.only_on("sqlite")
def test_cookies__http__plain_names_that_work() -> None:
    found = cookies(DEBUG="true", HTTPS="false")
    assert {"sessionid", "csrftoken"} <= set(found)
    assert not any(flags["secure"] for flags in found.values())


# --- Files ------------------------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("there", [False, True], ids=["new", "existing"])
def test_database_file__and_what_lies_beside__readable_by_its_owner_alone(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "portal.sqlite3"
    beside = [Path(f"{path}-wal"), Path(f"{path}-shm")]
    script = """
import os, sys, django
os.umask(0)
django.setup()
from django.db import connection
connection.cursor().execute("CREATE TABLE IF NOT EXISTS t (id integer)")
print(oct(os.stat(sys.argv[1] + "-wal").st_mode & 0o777), oct(os.stat(sys.argv[1] + "-shm").st_mode & 0o777))
"""
    if there:
        for each in (path, *beside):
            each.touch(mode=0o666)
            each.chmod(0o666)
    settings = {**os.environ, "DATABASE_URL": f"sqlite:///{path}", "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0o600", "0o600"] and mode(path) == 0o600


SECRETS = ("SECRET_KEY", "API_KEY_PEPPER", "MANIFEST_SIGNING_KEY")


def start(step: str, env_file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return subprocess.run(
        [sys.executable, "scripts/start.py", step], cwd=ROOT, check=False, capture_output=True, text=True,
        env=clean | {"ENV_FILE": str(env_file)} | environment,
    )  # fmt: skip


def test_env_file__new__has_all_keys_each_its_own(tmp_path: Path) -> None:
    path = tmp_path / "env"
    assert start("env", path).returncode == 0
    found = dict(re.findall(r"^(\w+)=(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    secrets = [found[name] for name in ("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS", "WEBHOOK_KEYS")]
    assert len(base64.b64decode(found["MANIFEST_SIGNING_KEY"], validate=True)) == 32
    assert len(set(secrets)) == 4 and all(len(secret) >= 60 for secret in secrets) and mode(path) == 0o600


@pytest.mark.parametrize("environment", [{}, {"SECRET_KEY": "of all machines"}], ids=["in the file", "elsewhere"])
def test_env_file__where_there_is_a_secret_key__no_keys_of_this_machine_alone(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    path = tmp_path / "env"
    path.write_text("" if environment else f"SECRET_KEY={'s' * 50}\nAPI_KEY_PEPPER={'p' * 50}\n", encoding="utf-8")
    path.chmod(0o644)
    assert start("env", path, **environment).returncode == 0
    assert "_KEYS" not in path.read_text(encoding="utf-8") and mode(path) == 0o600

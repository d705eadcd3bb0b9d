"""The settings of a test run, set before Django is loaded: nothing comes from a developer's `.env`, shell or database.

Only DATABASE_URL is taken over, if it is a PostgreSQL's (`tests/with_postgres.py` sets it): the tests make databases
of their own on that server. Without it they run on SQLite, in files of a temporary directory.
"""

import atexit
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

DOCUMENTED = re.compile(r"^# ?([A-Z_]+)=", re.MULTILINE)
DIRECTORY = "PORTAL_TEST_DIRECTORY"


def scratch_directory() -> Path:
    """One directory for the whole run: processes that xdist starts find it in their environment."""
    if DIRECTORY not in os.environ:
        os.environ[DIRECTORY] = tempfile.mkdtemp(prefix="portal-tests-")
        atexit.register(shutil.rmtree, os.environ[DIRECTORY], ignore_errors=True)
    return Path(os.environ[DIRECTORY])


def hear_interrupts() -> None:
    """A shell's background job ignores SIGINT, and so would the programs that tests start and interrupt: for ever."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def prepare() -> None:
    # Else each worker rewrites the assertions of every module anew, which takes longer than many tests.
    sys.dont_write_bytecode = False
    for name in DOCUMENTED.findall(Path(__file__).parents[1].joinpath(".env.example").read_text(encoding="utf-8")):
        if name != "DATABASE_URL":
            os.environ.pop(name, None)
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        os.environ["DATABASE_URL"] = f"sqlite:///{scratch_directory() / 'portal.sqlite3'}"
    os.environ |= {
        "ENV_FILE": os.devnull,
        # Plain static files and plain HTTP; Django's test runner sets settings.DEBUG to False all the same.
        "DEBUG": "true",
        "SECRET_KEY": "the secret key of the tests, which guards nothing at all",
        "API_KEY_PEPPER": "the pepper of the tests, which guards nothing at all either",
        # Of tests/support/snapshots.py.
        "MANIFEST_SIGNING_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "SNAPSHOT_DIR": str(scratch_directory() / f"snapshots-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"),
        "LOG_LEVEL": "WARNING",
        "CONN_MAX_AGE": "0",
        # Tests store these numbers themselves: a thread would write beside the transaction of a test.
        "ASKED_FLUSH_SECONDS": "0",
        # Once per connection: a test that counts queries must not meet one that is due by the clock.
        "WITNESS_CHECK_SECONDS": "1000000",
        # Who is signed in in a recording was last active when it was made, at the start of the run.
        "OPERATOR_IDLE_MINUTES": str(24 * 60),
        # Playwright's sync API runs an event loop in the thread of the tests.
        "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
    }


hear_interrupts()
prepare()

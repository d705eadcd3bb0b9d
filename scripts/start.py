"""The steps of `make run` and `make serve`: check the port, create `.env`, prepare the database, start the server.

`port` and `env` need only Python. `serve` needs requirements.txt, and runs server and worker for development.
`production`, used by `make serve`, needs requirements/production.txt.
"""

import base64
import os
import re
import resource
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PORT = "8000"
CONNECTIONS = 2048  # open at the same time in each process; most wait for a slow client, which costs little
DEMO_OPERATOR = "operator@demo.example"
DEMO_REVIEWER = "reviewer@demo.example"


def env_file() -> Path:
    """The path of the settings file. A symbolic link is resolved, so that replacing the file keeps the link."""
    return Path(os.environ.get("ENV_FILE") or ROOT / ".env").resolve()


def file_settings(text: str) -> dict[str, str]:
    """The settings of the file: name → value. The first line of a name wins, as in django-environ."""
    settings: dict[str, str] = {}
    for name, value in re.findall(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", text, re.MULTILINE):
        settings.setdefault(name, value.strip("'\""))
    return settings


def read_env_file() -> str:
    path = env_file()
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def chosen_port() -> int:
    """PORT of the environment, else of `.env`, else 8000. Exits with a message if it is not a port number."""
    value = os.environ.get("PORT") or file_settings(read_env_file()).get("PORT") or DEFAULT_PORT
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65535:
        sys.exit(f"PORT is {value!r}; it must be a number from 1 to 65535.")
    return int(value)


def check_port() -> None:
    port = chosen_port()
    with socket.socket() as listener:
        # As the server does: a port in TIME_WAIT after a restart counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(
                f"PORT {port} can't be opened on 127.0.0.1: {error.strerror}. "
                "Nothing was changed. Choose another: PORT=8001 make run"
            )


def make_private(path: Path) -> None:
    """Give the file mode 0600, because it holds secrets."""
    if not path.is_file() or not path.stat().st_mode & 0o077:
        return
    try:
        path.chmod(0o600)
    except PermissionError:
        print(f"{path.name} can be read by others, and is somebody else's: give it mode 0600.", file=sys.stderr)
    else:
        print(f"{path.name} could be read by others; it has mode 0600 now.", flush=True)


def make_env() -> None:
    """Add the secrets that are missing in `.env`; also DEBUG=true, if there was no SECRET_KEY either."""
    path = env_file()
    if path.exists() and not path.is_file():
        return  # /dev/null: everything comes from the environment
    make_private(path)
    text = read_env_file()
    there = {name for name, value in file_settings(text).items() if value}
    required = ["SECRET_KEY", "API_KEY_PEPPER"]
    if "SECRET_KEY" not in there and not os.environ.get("SECRET_KEY"):
        # With a SECRET_KEY but without these two, existing data uses keys derived from SECRET_KEY, on every machine
        # that shares it. So only a new installation gets them here.
        required += ["ENCRYPTION_KEYS", "WEBHOOK_KEYS"]
    missing = {name: secrets.token_urlsafe(48) for name in required if name not in there}
    # Where the secrets come from elsewhere, so does this key: on each machine another one would sign.
    if not {"SECRET_KEY", "MANIFEST_SIGNING_KEY"} & {name for name in os.environ if os.environ[name]}:
        missing |= {"MANIFEST_SIGNING_KEY": _signing_key()} if "MANIFEST_SIGNING_KEY" not in there else {}
    if not missing:
        return
    if "SECRET_KEY" in missing and "DEBUG" not in file_settings(text):
        missing = {"DEBUG": "true", **missing}
    # Drop lines that set a missing name to nothing: as the first line of that name, they would win.
    lines = [line for line in text.splitlines() if not re.match(rf"\s*(export\s+)?({'|'.join(missing)})\s*=", line)]
    if not lines:
        lines = ["# Made by `make run`, for this machine alone. .env.example says what else can be set."]
    lines += [f"{name}={value}" for name, value in missing.items()]
    # mkstemp creates the file with mode 0600, and `replace` is atomic.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".env.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    Path(name).replace(path)
    print(f"Wrote {', '.join(missing)} to {path.name} (readable by you alone).", flush=True)


def _signing_key() -> str:
    """A new Ed25519 key, as the settings take it."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def prepare_database() -> bool:
    """Migrate, and load the demo into an empty SQLite database. Returns whether the demo was loaded now."""
    from django.core.management import CommandError, call_command
    from django.db import connection

    from accounts.models import Organization

    print("Bringing the database up to date …", flush=True)
    call_command("migrate", verbosity=0, interactive=False)
    if connection.vendor != "sqlite" or Organization.objects.exists():
        return False
    print("Loading the demo …", flush=True)
    try:
        call_command("demo")
    except CommandError as error:
        sys.exit(f"The demo was not loaded: {error}")
    return True


def how_to_sign_in(demo_is_new: bool) -> str:
    from accounts.models import User

    if demo_is_new:
        return f"Sign in as {DEMO_OPERATOR}, or as its second operator {DEMO_REVIEWER}, with the password above."
    if User.objects.filter(email=DEMO_OPERATOR, is_active=True).exists():
        return f"Sign in as {DEMO_OPERATOR} with the password you were shown; a new one: make demo-password"
    if User.objects.filter(is_staff=True, is_active=True).exists():
        return "Sign in as one of your operators."
    return "Nobody can sign in yet: make demo, or: .venv/bin/python manage.py create_operator EMAIL"


def serve() -> None:
    port = chosen_port()
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.conf import settings

    django.setup()
    sign_in = how_to_sign_in(prepare_database())
    if not settings.DEBUG:
        from django.core.management import call_command

        call_command("collectstatic", verbosity=0, interactive=False)
    print(f"\n  The portal is at http://localhost:{port} (stop it with Ctrl-C)\n  {sign_in}\n", flush=True)
    if settings.SECURE_SSL_REDIRECT:
        print(
            "  HTTPS is on, but this server speaks plain HTTP: set HTTPS=false, or put a proxy in front.\n", flush=True
        )
    os.environ.setdefault("DJANGO_RUNSERVER_HIDE_WARNING", "true")
    sys.exit(run_together(["runserver", f"127.0.0.1:{port}"], ["worker"]))


def serve_as_in_production() -> None:
    """Migrate, collect static files, and replace this process by the server. The worker has to be run separately."""
    port, workers = chosen_port(), web_concurrency()
    os.environ["DEBUG"] = "false"
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    print("Bringing the database up to date …", flush=True)
    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False)
    if settings.SECURE_SSL_REDIRECT:
        print("HTTPS is on: put a proxy in front that speaks it (BEHIND_PROXY=true), or set HTTPS=false to try it out.")
    print(f"Serving on http://localhost:{port}, {workers} processes. Run the worker too: manage.py worker", flush=True)
    raise_file_limit()
    command = server_command(port, workers, settings.REQUEST_SECONDS)
    # Replace this process, so that signals of a service manager reach the server itself.
    os.execv(command[0], command)


def server_command(port: int, workers: int, head_seconds: int = 20) -> list[str]:
    """The command of the web server. `head_seconds`: how long a client may take for the headers.

    HTTP/1 only, because this timeout exists only there, and for a smaller attack surface.
    """
    options = ["--host", "127.0.0.1", "--port", str(port), "--interface", "asginl", "--loop", "uvloop"]
    options += ["--http", "1", "--no-ws"]
    options += ["--workers", str(workers), "--http1-header-read-timeout", str(head_seconds * 1000)]
    options += ["--backlog", "2048", "--backpressure", str(CONNECTIONS), "--respawn-failed-workers"]
    return [sys.executable, "-m", "granian", *options, "--log-level", "warning", "config.asgi:application"]


def raise_file_limit() -> None:
    """Raise the soft limit of open files, as far as allowed: connections and temporary files need descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def web_concurrency() -> int:
    """WEB_CONCURRENCY of the environment, else of `.env`, else one process per core."""
    text = os.environ.get("WEB_CONCURRENCY") or file_settings(read_env_file()).get("WEB_CONCURRENCY")
    if text is None:
        return os.cpu_count() or 1
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        sys.exit(f"WEB_CONCURRENCY is {text!r}; it must be a number from 1 to 1000.")
    return int(text)


def run_together(*commands: list[str]) -> int:
    """Run these manage.py commands until one ends or a signal arrives, then stop all. Returns an exit code."""
    told: list[int] = []
    # Ctrl-C reaches the child processes too, which then end by themselves; other signals reach only this process.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, _frame: told.append(number))
    running = [subprocess.Popen([sys.executable, "manage.py", *command]) for command in commands]
    while not told and all(process.poll() is None for process in running):
        time.sleep(0.2)
    codes = [process.poll() for process in running]
    if not told:
        for command, code in zip(commands, codes, strict=True):
            if code is not None:
                print(f"{command[0]} has ended (exit code {code}), and with it the rest.", file=sys.stderr, flush=True)
    for process in running:
        if process.poll() is None:
            process.terminate()
    for process in running:
        # The worker finishes its current step first; kill whatever takes longer.
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return 0 if told else next((code for code in codes if code), 0)


STEPS = {"port": check_port, "env": make_env, "serve": serve, "production": serve_as_in_production}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in STEPS:
        sys.exit(f"usage: start.py {'|'.join(STEPS)}")
    STEPS[sys.argv[1]]()

"""Restore drill: a portal is killed, its database set back to a random earlier moment, and adopted.

    python -m benchmarks.restoring [--rounds 100] [--seed N] [--only sqlite|postgresql]

Each round: a server and a worker with a witness (WITNESS_SYNC), opt-outs at 20 a second, kill -9 of both, the database
as it was earlier, start. It has to be noticed within 10 seconds, and until then, and afterwards, 0 of 10,000 questions
may be allowed. Then `restore adopt`, every second time with a copy of the feed; `verify_ledger` finds no problem, and
every opt-out that was answered is there. All the time somebody collects the log's checkpoints: none contradicts another
of its origin, nothing is signed in quarantine, and after an adoption the next origin is. Exit code 1 on any problem.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consent.proofs.note import Signer
from scripts.start import server_command
from tests.with_postgres import Unavailable, end

from . import databases, restorable
from .load import OPERATORS, PRODUCT
from .restorable import Restorable

PAUSE = 0.05  # seconds between two opt-outs
NOTICED_WITHIN = 10.0
QUESTIONS = 10_000
_PATIENCE = 60.0
_MARKS = 3
LOG = "drill.example/log"


class Portal:
    """A server and a worker, each its own process, on one database and one witness."""

    def __init__(self, url: str, witness: Path) -> None:
        self.environment = databases.environment(
            url, WITNESS=str(witness), WITNESS_SYNC="true", COUNT_QUESTIONS="false", LOG_LEVEL="CRITICAL",
            LOG_SIGNING_KEY=Signer.generate(LOG).private_text(), LOG_ORIGIN=LOG, LOG_CHECKPOINT_SECONDS="0",
            LOG_PUBLIC="true",
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        commands = ([sys.executable, "manage.py", "worker"], server_command(self.port, 1))
        self.processes = [
            subprocess.Popen(
                each, cwd=databases.ROOT, env=self.environment, stderr=subprocess.DEVNULL, start_new_session=True
            )
            for each in commands
        ]

    def kill(self) -> None:
        """kill -9: each with all processes that it has started."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
        self.processes = []

    def manage(self, *arguments: str) -> tuple[int, str]:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=databases.ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout or done.stderr

    def call(self, method: str, path: str, key: str, content: Any = None) -> Any:
        """The parsed answer; None if there was none, or an error."""
        data = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  our own server
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def await_answer(self, key: str, question: dict[str, str]) -> tuple[float, Any]:
        """How many seconds it takes to be answered, from when the server is there, and the answer."""
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends and self.call("GET", "/healthz", key) is None:
            time.sleep(0.05)
        began = time.monotonic()
        while time.monotonic() < began + _PATIENCE:
            if answer := self.call("POST", "/api/v1/decisions/", key, question):
                return time.monotonic() - began, answer
            time.sleep(0.05)
        raise RuntimeError("the portal does not answer")


def _ident(value: object) -> str:
    """The id as the API takes it; SQLite has it without hyphens."""
    return str(uuid.UUID(str(value)))


class OptOuts(threading.Thread):
    """Opts one organization after the other out, and remembers those that were answered."""

    def __init__(self, portal: Portal, key: str, ids: list[str]) -> None:
        super().__init__(daemon=True)
        self.portal, self.key, self.ids = portal, key, ids
        self.answered: list[str] = []
        self.unwitnessed = 0
        self.over = threading.Event()

    def run(self) -> None:
        for ident in self.ids:
            path = f"/api/v1/organizations/{ident}/privacy-settings/le_chat_console/"
            answer = self.portal.call("PUT", path, self.key, {"choice": "opted_out"})
            if answer is not None:
                self.answered.append(ident)
                self.unwitnessed += answer.get("witnessed") is False
            if self.over.wait(PAUSE):
                return


class Checkpoints(threading.Thread):
    """Collects the checkpoints that the log shows, as an auditor would, and those that contradict each other."""

    def __init__(self, portal: Portal) -> None:
        super().__init__(daemon=True)
        self.url = f"http://127.0.0.1:{portal.port}/log/checkpoint"
        self.roots: dict[tuple[str, str], str] = {}
        self.contradicted: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(PAUSE):
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url, timeout=20) as answer:  # noqa: S310  our own server
                origin, size, root, *_signature = answer.read().decode().split("\n")
                if self.roots.setdefault((origin, size), root) != root:
                    self.contradicted.append(f"{origin} has two trees of {size} leaves")

    def began(self) -> bool:
        """Whether there is a checkpoint; waits for the first."""
        ends = time.monotonic() + _PATIENCE
        while not self.roots and time.monotonic() < ends:
            time.sleep(PAUSE)
        return bool(self.roots)

    def sizes(self, origin: str) -> list[int]:
        return sorted(int(size) for name, size in list(self.roots) if name == origin)


@dataclasses.dataclass
class Round:
    restored_to: str = ""
    answered: int = 0
    lost: int = 0
    noticed: float | None = None  # seconds; None: nothing was lost
    replayed: bool = False
    signed: int = 0  # checkpoints of the next origin that were seen
    problems: list[str] = dataclasses.field(default_factory=list)


class Drill:
    def __init__(self, place: Restorable, folder: Path, seed: int) -> None:
        self.place, self.folder = place, folder
        self.dice = random.Random(seed)  # noqa: S311  chance, no secret

    def round(self, number: int) -> Round:
        witness = self.folder / f"witness-{number}.jsonl"
        found = Round(replayed=number % 2 == 1)
        self.place.begin()
        portal = Portal(self.place.url, witness)
        collecting = Checkpoints(portal)
        collecting.start()
        try:
            self._write(portal, collecting, found)
        finally:
            collecting.over.set()
            portal.kill()
            self.place.end()
            for each in self.folder.glob(f"witness-{number}.jsonl*"):
                each.unlink()
        return found

    def _write(self, portal: Portal, collecting: Checkpoints, found: Round) -> None:
        _code, key = portal.manage(
            "create_api_key",
            "drill",
            "--actor",
            OPERATORS[0],
            "--scope",
            "decisions:read",
            "consent:write",
            "events:read",
        )
        key = key.strip().splitlines()[-1]
        rows = self.place.query("SELECT organization_id, id FROM accounts_member ORDER BY id")
        questions = [
            {"organization": _ident(organization), "member": _ident(member), "product": PRODUCT}
            for organization, member in rows
        ]
        portal.start()
        portal.await_answer(key, questions[0])
        if not collecting.began():
            found.problems.append("the log was not signed")
        ids = [each["organization"] for each in questions]
        self.dice.shuffle(ids)
        writing = OptOuts(portal, key, ids)
        writing.start()
        for _mark in range(_MARKS):
            time.sleep(self.dice.uniform(0.2, 1.5))
            self.place.mark()
        time.sleep(self.dice.uniform(1.0, 2.5))
        feed = self._feed(portal, key) if found.replayed else None
        portal.kill()
        writing.over.set()
        writing.join()
        found.answered = len(writing.answered)
        found.restored_to = self.place.restore(self.dice)
        known = {
            *collecting.sizes(LOG),
            *(size for (size,) in self.place.query("SELECT size FROM consent_logcheckpoint")),
        }
        self._restored(portal, key, questions, found, feed)
        self._adopted(portal, key, questions, writing.answered, found, feed)
        self._logged(portal, collecting, found)
        if found.lost and (more := [size for size in collecting.sizes(LOG) if size not in known]):
            found.problems.append(f"{LOG} was signed for {more} after a restore")

    def _feed(self, portal: Portal, key: str) -> Path:
        request = urllib.request.Request(
            f"http://127.0.0.1:{portal.port}/api/v1/events/stream", headers={"Authorization": f"Bearer {key}"}
        )
        path = self.folder / "feed.jsonl"
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  our own server
            path.write_bytes(answer.read())
        return path

    def _restored(
        self, portal: Portal, key: str, questions: list[dict[str, str]], found: Round, feed: Path | None
    ) -> None:
        code, told = portal.manage("restore", "status", "--format", "json")
        found.lost = json.loads(told)["lost"]
        if not found.lost:
            return
        if code != 1:
            found.problems.append("status did not say by its exit code that something is lost")
        portal.start()
        found.noticed, answer = portal.await_answer(key, questions[0])
        if answer["allowed"] or answer["reason"] != "restored":
            found.problems.append(f"the first answer was {answer}")
        if found.noticed > NOTICED_WITHIN:
            found.problems.append(f"noticed after {found.noticed:.1f} s")
        asked = (questions * (QUESTIONS // len(questions) + 1))[:QUESTIONS]
        for start in range(0, QUESTIONS, 2_500):
            batch = portal.call("POST", "/api/v1/decisions/batch/", key, {"items": asked[start : start + 2_500]})
            if batch is None or any(each["allowed"] for each in batch["decisions"]):
                found.problems.append("questions were allowed, or not answered, in quarantine")

    def _adopted(
        self, portal: Portal, key: str, questions: list[dict[str, str]], answered: list[str], found: Round,
        feed: Path | None,
    ) -> None:  # fmt: skip
        if found.lost:
            copies = ("--replay", str(feed)) if feed else ()
            code, told = portal.manage("restore", "adopt", "--actor", OPERATORS[0], "--reason", "drill", *copies)
            if code:
                found.problems.append(f"adopt failed: {told}")
                return
        else:
            portal.start()
        by_id = {each["organization"]: each for each in questions}
        first = by_id[answered[0]] if answered else questions[0]
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            _seconds, answer = portal.await_answer(key, first)
            if answer["reason"] != "restored":
                break
            time.sleep(0.1)
        else:
            found.problems.append("the quarantine did not end")
            return
        batch = portal.call("POST", "/api/v1/decisions/batch/", key, {"items": [by_id[each] for each in answered]})
        still = [each["reason"] for each in batch["decisions"]] if batch else []
        if still != ["organization_opted_out"] * len(answered):
            found.problems.append(f"of {len(answered)} opt-outs that were answered not all are there: {set(still)}")
        time.sleep(1)  # the worker gives what is new its positions
        code, told = portal.manage("verify_ledger", "--format", "json")
        if code:
            found.problems.append(f"verify_ledger: {told}")

    @staticmethod
    def _logged(portal: Portal, collecting: Checkpoints, found: Round) -> None:
        """The lost log is left as it was, and the next goes on to the end of the ledger, also after another start."""
        portal.kill()
        portal.start()
        origin, ends = f"{LOG}/2" if found.lost else LOG, time.monotonic() + _PATIENCE
        _code, told = portal.manage("verify_ledger", "--format", "json")
        head = json.loads(told)["head"]
        while head not in collecting.sizes(origin) and time.monotonic() < ends:
            time.sleep(0.1)
        found.signed = len(collecting.sizes(f"{LOG}/2"))
        if head not in collecting.sizes(origin):
            found.problems.append(f"{origin} was not signed up to {head}")
        found.problems += collecting.contradicted


def drill(place: Restorable, rounds: int, seed: int) -> bool:
    """Run the drill on one database, and print its progress; returns whether all went well."""
    print(f"== {place.label}: {rounds} rounds, --seed {seed}", flush=True)
    problems = lost = noticed = 0
    slowest = 0.0
    witnesses = Path(os.environ.get("TMPDIR", "/tmp")) / f"portal-witness-{os.getpid()}"  # noqa: S108
    witnesses.mkdir(mode=0o700)
    try:
        running = Drill(place, witnesses, seed)
        for number in range(rounds):
            found = running.round(number)
            lost += bool(found.lost)
            noticed += found.noticed is not None
            slowest = max(slowest, found.noticed or 0)
            problems += len(found.problems)
            when = f"noticed after {found.noticed:.1f} s" if found.noticed is not None else "nothing lost"
            print(
                f"{number + 1:4} {found.answered} opt-outs answered; restored to {found.restored_to}:"
                f" {found.lost} lost, {when}, adopted{' with the feed' if found.replayed else ''},"
                f" {found.signed} checkpoints of the next log",
                flush=True,
            )
            for problem in found.problems:
                print(f"PROBLEM: {problem}", file=sys.stderr, flush=True)
    finally:
        for each in witnesses.iterdir():
            each.unlink()
        witnesses.rmdir()
    print(
        f"{rounds} restores, {lost} of them lost events, {noticed} noticed (the slowest after {slowest:.1f} s):"
        f" {problems} problems",
        flush=True,
    )
    return not problems


@contextlib.contextmanager
def _places(only: str, rows: int) -> Iterator[list[Restorable]]:
    with contextlib.ExitStack() as stack:
        found: list[Restorable] = []
        if only in ("", "sqlite"):
            found.append(stack.enter_context(restorable.sqlite(rows)))
        if only in ("", "postgresql"):
            try:
                found.append(stack.enter_context(restorable.postgresql(rows)))
            except Unavailable as error:
                print(f"SKIPPED: PostgreSQL ({error})", file=sys.stderr)
        yield found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="in all (default 100)")
    parser.add_argument("--rows", type=int, default=500, help="organizations (default 500)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--only", choices=["", "sqlite", "postgresql"], default="")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, end)  # so that no server is left
    with _places(options.only, options.rows) as places:
        done = [
            drill(place, options.rounds // len(places) + (n < options.rounds % len(places)), options.seed)
            for n, place in enumerate(places)
        ]
    return int(not all(done))


if __name__ == "__main__":
    sys.exit(main())

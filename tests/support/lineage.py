"""For `tests/lake`: records and a snapshot, the filter by its command, a server for what a lineage graph is told."""

import contextlib
import datetime as dt
import http.server
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline import cli
from tests.support import snapshots

TEAM, OTHER, ADA, LEFT = (uuid.UUID(int=n) for n in range(1, 5))
DAY = 24 * 3600 * 1_000_000
Asked = tuple[str, str | None, dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`records/`, `snapshots/` of this moment and `key.pem`: four records are allowed, two of somebody who has left."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENLINEAGE_API_KEY", "OPENLINEAGE_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    now = dt.datetime.now(dt.UTC)
    decided_at = int(now.timestamp() * 1_000_000)
    layer = {"le_chat_allowed": True, "le_chat_reason": "organization_opted_in", "le_chat_since": decided_at - 9 * DAY}
    no = {"ai_studio_allowed": False, "ai_studio_reason": "organization_opted_out"}
    own = {
        "organization": TEAM,
        "joined_at": decided_at - 9 * DAY,
        "le_chat_allowed": True,
        "le_chat_reason": "default",
    }
    snapshots.write(
        Path("snapshots"), position=41, decided_at=decided_at,
        organizations=[{"organization": TEAM, "personal": False, "created_at": decided_at - 9 * DAY, **layer, **no}],
        members=[{"member": ADA, **own}, {"member": LEFT, **own, "left_at": decided_at - 3 * DAY}],
    )  # fmt: skip
    rows = [
        {
            "id": n, "organization": str(TEAM), "member": str((ADA, ADA, LEFT)[n % 3]), "product": "le_chat",
            "data_kind": "conversation", "collected_at": now - dt.timedelta(days=1), "text": f"number {n}",
        }
        for n in range(6)
    ]  # fmt: skip
    Path("records").mkdir()
    for n in range(2):
        pq.write_table(pa.Table.from_pylist(rows[n * 3 : n * 3 + 3]), f"records/part-{n}.parquet")
    Path("key.pem").write_text(snapshots.VERIFY_KEY, "utf-8")
    return tmp_path


def events(path: str = "lineage.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def filtered(*more: str, records: Sequence[str] = ("records",)) -> int:
    (snapshot,) = Path("snapshots").iterdir()
    given = ["--snapshot", str(snapshot), "--verify-key", "key.pem", "--allowed", "allowed", "--denied", "denied"]
    return cli.main(["filter", *records, *given, *more])


@contextlib.contextmanager
def server(status: Callable[[int], int], location: str = "") -> Iterator[tuple[str, list[Asked]]]:
    """A server for events, its address and what it was sent. `status`: what it answers, by the number of requests;
    `location`: where else it sends to."""
    asked: list[Asked] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"], body))
            self.send_response(status(len(asked)))
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"], {}))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_given: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}", asked
        finally:
            made.shutdown()
            thread.join()

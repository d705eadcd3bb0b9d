"""From a saved choice to training data and back, on a portal of its own: `make pipeline-demo` runs this.

200,000 invented records are filtered, a run is registered, an organization opts out, and what it said goes. Each step
prints the command, or the call of the API, that does it; docs/pipeline.md explains them.
"""

import argparse
import datetime as dt
import json
import random
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from own_portal import ROOT, Portal, own_portal

FILES = 4
# What of the data may stay: of several entries of a key the latest holds, and each has to let the record stay.
KEEP = """
    SELECT * FROM allowed AS r WHERE NOT EXISTS (
        FROM (FROM entries QUALIFY row_number() OVER (
            PARTITION BY level, organization, member, product ORDER BY position DESC) = 1) AS e
        WHERE e.product = r.product AND e.organization = r.consent_organization::UUID
            AND (e.level = 'organization' OR e.member = r.consent_member::UUID)
            AND (e.keep_from IS NULL OR epoch_us(r.collected_at) < e.keep_from
                 OR epoch_us(r.collected_at) >= e.keep_until))
"""
ENTRIES = (
    "{level: 'VARCHAR', organization: 'UUID', member: 'UUID', product: 'VARCHAR', keep_from: 'BIGINT',"
    " keep_until: 'BIGINT', reason: 'VARCHAR', position: 'BIGINT'}"
)
_DAYS = 120  # how long ago the oldest record was collected


class Demo:
    """The steps, in order; each takes what the ones before it made in `folder`."""

    def __init__(self, portal: Portal, rows: int) -> None:
        self.portal, self.rows, self.folder = portal, rows, portal.folder / "data"
        self.records, self.allowed = self.folder / "records", self.folder / "allowed"

    def run(self) -> None:
        step(f"{self.rows:,} records that a lake may hold, in {FILES} files")
        self.invent()
        report = self.filter(self.records, "allowed")
        step("What may be used is registered as the data of a training run")
        run = self.call("POST", "training-runs/", {"name": "assistant 7", "external_id": "R-77", "reports": [report]})
        say(f"run {run['id']}: {run['allowed']:,} records, at position {run['snapshot_position']} of the ledger")
        said = self.most_said()
        step("Somebody opts out")
        place = f"organizations/{said}/privacy-settings/le_chat_console/"
        choice = self.call("PUT", place, {"choice": "opted_out", "reason": "Decided by the board"})
        say(f"{choice['surface']}: {choice['choice']}, by whoever holds the key")
        step("What the run has to forget")
        self.forget(run["id"])

    def invent(self) -> None:
        """Records of the demo's people; the same each time, but for their ids and instants."""
        chance, now = random.Random(7), dt.datetime.now(dt.UTC)  # noqa: S311  invented records
        kinds = {each["key"]: each["data_kinds"] for each in self.all("products/")}
        people = [
            (organization["id"], member["id"])
            for organization in self.all("organizations/")
            for member in self.all(f"organizations/{organization['id']}/members/")
        ]
        self.records.mkdir(parents=True)
        for n in range(FILES):
            rows = []
            for m in range(n, self.rows, FILES):
                (organization, member), product = chance.choice(people), chance.choice(list(kinds))
                rows.append(
                    {
                        "id": m,
                        "organization": organization,
                        "member": member if product == "le_chat" else None,
                        "product": product,
                        "data_kind": chance.choice(kinds[product]),
                        "collected_at": now - dt.timedelta(seconds=chance.randrange(_DAYS * 24 * 3600)),
                        "text": f"What was said in record {m}",
                    }
                )
            pq.write_table(pa.Table.from_pylist(rows), self.records / f"part-{n}.parquet")

    def filter(self, records: Path, name: str) -> Any:
        """Filter by what holds now, into a folder of this name; returns the report."""
        step("A snapshot of all consent, as it is now")
        taken = self.manage("export_snapshot", str(self.folder / "snapshots"), "--format", "json")
        step("What of the records may be used, by that snapshot")
        report = self.folder / f"{name}.json"
        command = ["-m", "consent.pipeline", "filter", str(records), "--snapshot", taken["folder"]]
        command += ["--verify-key", taken["verify_key"], "--report", str(report)]
        command += ["--allowed", str(self.folder / name), "--denied", str(self.folder / f"{name}-not")]
        self.shown("python", *command)
        done = subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        print(textwrap.indent(done.stdout, "  "), end="")
        return json.loads(report.read_text("utf-8"))

    def most_said(self) -> str:
        """The team with most of the allowed records of Le Chat."""
        found = self.sql(
            "SELECT consent_organization::VARCHAR FROM allowed WHERE product = 'le_chat'"
            " GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        )
        return str(found[0][0])

    def forget(self, run: str) -> None:
        issued = self.call("POST", f"training-runs/{run}/removal-batches/", {})["batch"]
        say(f"removal {issued['number']}, due {issued['due_at']}: {issued['entries']} entries")
        entries = self.all(f"training-runs/{run}/removals/")
        for entry in entries[:3]:
            say(f"{entry['level']} {entry['member'] or entry['organization']}, {entry['product']}: {entry['reason']}")
        step("That goes from its data, by one statement")
        (self.folder / "entries.jsonl").write_text("\n".join(map(json.dumps, entries)), "utf-8")
        kept = self.folder / "kept.parquet"
        print(f"    COPY ({KEEP}) TO 'data/kept.parquet'")
        self.sql(f"COPY ({KEEP}) TO '{kept}'")
        ((total, left),) = self.sql(f"SELECT (SELECT count(*) FROM allowed), count(*) FROM read_parquet('{kept}')")
        say(f"{total - left:,} records removed, {left:,} kept")
        report = self.filter(kept, "kept")
        step("It is acknowledged, with the report that nothing of the rest is denied")
        place = f"training-runs/{run}/removals/{issued['id']}/acknowledge/"
        done = self.call("POST", place, {"removed": total - left, "note": "Deleted from the lake", "report": report})
        verified = "verified" if done["acknowledgement"]["verified"] else "not verified"
        say(f"removal {issued['number']} is {done['state']}, and {verified}")

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """The answer of DuckDB, where `allowed` is what may be used, and `entries` are those of the removals."""
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"CREATE VIEW allowed AS FROM read_parquet('{self.allowed}/*.parquet')")
            if (entries := self.folder / "entries.jsonl").exists():
                # Given, not guessed: a column of nulls alone would be taken for JSON.
                connection.execute(f"CREATE VIEW entries AS FROM read_json('{entries}', columns={ENTRIES})")
            return connection.execute(query).fetchall()

    # --- How each step is done ---

    def manage(self, *arguments: str) -> Any:
        self.shown("manage.py", *arguments)
        return json.loads(self.portal.manage(*arguments))

    def call(self, method: str, path: str, body: Any) -> Any:
        print(f"    {method} /api/v1/{path}", flush=True)
        return self.portal.call(method, f"/api/v1/{path}", body)

    def all(self, path: str) -> list[Any]:
        """All pages of a list."""
        found: list[Any] = []
        following = f"{self.portal.url}/api/v1/{path}?limit=200"
        while following:
            page = self.portal.get(following.removeprefix(self.portal.url))
            found, following = [*found, *page["results"]], page["next"]
        return found

    def shown(self, *command: str) -> None:
        print(f"    {shlex.join(command)}".replace(str(self.folder), "data"), flush=True)


def step(title: str) -> None:
    print(f"\n=== {title}", flush=True)


def say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    with own_portal() as portal:
        Demo(portal, parser.parse_args().rows).run()

"""The benchmarks run, get equal results from the variants that they compare, and print a table; speed is not tested."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("migrated_database")]
ROOT = Path(__file__).parents[1]


def bench(module: str, *options: str) -> str:
    url = os.environ.get("DATABASE_URL", "")
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if url.startswith("postgres"):
        environment["DATABASE_URL"] = url
    command = [sys.executable, "-m", f"benchmarks.{module}", *options]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bulk__tiny__both_sides_change_every_row() -> None:
    table = bench("bulk", "--rows", "300", "--pairs", "1")
    assert "opt out 300: job / bare SQL" in table and "memory of the job" in table


@pytest.mark.only_on("postgresql", reason="what `make bench` runs there alone")
def test_verifying__few_pending_events__found_whole() -> None:
    assert "verify 300 pending events" in bench("verifying", "--pending", "300")


def test_snapshots__tiny__both_sides_read_every_row() -> None:
    table = bench("snapshots", "--rows", "200", "--pairs", "1")
    assert "snapshot of 200 organizations, 400 members / bare SELECT, CPU" in table and "memory" in table


def test_log__tiny__both_sides_read_every_event() -> None:
    table = bench("log", "--rows", "600", "--pairs", "1", "--choices", "3")
    assert "append 600 events / bare read, CPU" in table and "p99 of 3" in table


def test_removals__tiny__both_sides_keep_the_same_records() -> None:
    table = bench("removals", "--rows", "200", "--outs", "20", "--records", "2000", "--pairs", "1")
    assert "removals after 20 opt-outs among 200, from 2,000 records / full join in DuckDB, CPU" in table


@pytest.mark.only_on("postgresql", reason="SQLite has no COPY")
def test_imports__tiny__both_sides_bring_in_every_row() -> None:
    assert "import 300: command / COPY" in bench("imports", "--rows", "300")


def test_filtering__few_records__sides_allow_the_same() -> None:
    table = bench("filtering", "--rows", "3000", "--organizations", "100", "--members", "200", "--pairs", "1")
    assert "filter 3,000 records, allowed / by hand, CPU" in table and "memory with --memory 500MB" in table


def test_restore_drill__one_restore__nothing_unsaid() -> None:
    """On a server of its own, of the database that these tests run on."""
    only = "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    told = bench("restoring", "--rounds", "1", "--rows", "50", "--seed", "3", "--only", only)
    # How much was lost is up to chance; a loss that nobody notices would be a problem.
    assert "1 restores" in told and "0 problems" in told


def test_drill__few_kills__nothing_lost() -> None:
    assert "0 problems" in bench("drill", "--kills", "3", "--rows", "2000", "--seed", "1")


@pytest.mark.only_on("postgresql", reason="what `make bench` runs there alone")
def test_webhooks__few_events__all_arrive() -> None:
    assert "lag at" in bench("webhooks", "--events", "100", "--seconds", "1")


@pytest.mark.only_on("postgresql", reason="what is measured is PostgreSQL's")
def test_questions__for_a_moment__every_side_answers() -> None:
    table = bench("questions", "--rows", "300", "--large", "0", "--seconds", "1", "--pairs", "1")
    assert "granian: decision / floor" in table and "batch of 1,000 / the statement by psycopg" in table


@pytest.mark.only_on("postgresql", reason="what `make bench` runs there alone")
def test_spent__few_questions__every_part_has_a_share() -> None:
    table = bench("spent", "--rows", "300", "--questions", "50")
    assert "one decision, without the server" in table and "of the CPU: the fast path" in table


@pytest.mark.only_on("postgresql", reason="what `make bench` runs there alone")
def test_pages__few_organizations__every_page_answers_with_as_many_queries() -> None:
    table = bench("pages", "--rows", "20", "--large", "120", "--pairs", "1")
    assert "dashboard" in table and "console: members/" in table


@pytest.mark.only_on("postgresql", reason="what `make bench` runs there alone")
def test_slow__few_slow_clients__decisions_go_on() -> None:
    table = bench("slow", "--rows", "300", "--bodies", "3", "--heads", "3", "--seconds", "1", "--pairs", "1")
    assert "decisions with 3 slow bodies and 3 slow heads / without" in table and "slowest /healthz meanwhile" in table


def test_counting__few_organizations__both_sides_answer() -> None:
    table = bench("counting", "--rows", "300", "--seconds", "1", "--pairs", "1")
    assert "batch of 1,000: rate with counting / without, by CPU" in table

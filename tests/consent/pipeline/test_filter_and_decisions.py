"""The filter denies and allows as the portal itself answers about the snapshot's instant, on real histories."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from accounts import external_ids
from accounts.fields import to_micros
from consent import decisions, ledger
from consent.decisions import Question
from consent.jobs import engine
from consent.models import ConsentEvent
from consent.pipeline import Snapshot
from consent.snapshots.exporting import export_snapshot
from tests.consent.core.machine import Portal
from tests.support.record_files import read, run, text_file
from tests.support.snapshots import VERIFY_KEY

QUESTIONS = 250
EXTERNAL = "external:"


class Filtered(Portal):
    """The random histories of the machine: what is asked of the portal is also filtered."""

    told: Counter[str | None] = Counter()

    def verify(self) -> None:  # also called in the middle of a history
        super().verify()
        if not self.world.accounts:
            return
        with tempfile.TemporaryDirectory() as folder:
            done = export_snapshot(Path(folder))
            latest = ConsentEvent.objects.latest("recorded_at").recorded_at
            if (
                latest <= done.decided_at and not ledger.pending()
            ):  # else the snapshot holds what is later than its instant
                self.compare(Snapshot.open(done.written.folder, VERIFY_KEY), Path(folder))

    def compare(self, snapshot: Snapshot, folder: Path) -> None:
        asked = [each for each in (self.question() for _ in range(QUESTIONS)) if each.data_kind and _exact(each)]
        questions = [Question(**{**vars(each), "at": snapshot.decided}) for each in asked]
        decided = decisions.decide_many(questions, self.operator).decisions
        for organization in ("uuid", "external"):
            for member in ("uuid", "external"):
                pairs = [
                    (question, decision)
                    for question, decision in zip(questions, decided, strict=True)
                    if _named(question.organization, organization) and _named(question.member, member)
                ]
                if pairs:
                    self.filter(snapshot, folder, pairs, {"organization": organization, "member": member})

    def filter(self, snapshot: Snapshot, folder: Path, pairs: list[Any], ids: dict[str, str]) -> None:
        rows = [
            {
                "id": str(n),
                "organization": _normal(question.organization),
                "member": _normal(question.member),
                "product": question.product,
                "data_kind": question.data_kind,
                "collected_at": question.collected_at.isoformat(timespec="microseconds"),
            }
            for n, (question, _decision) in enumerate(pairs)
        ]
        columns = {field: f"{kind}:{field}" for field, kind in ids.items()}
        name = "-".join(ids.values())
        _report, allowed, denied = run(
            text_file(rows, folder / f"{name}.jsonl"), snapshot, folder, name=f"-{name}.jsonl", columns=columns
        )
        found = {row["id"]: row["reason"] for row in read(denied)} | {row["id"]: None for row in read(allowed)}
        for n, (question, decision) in enumerate(pairs):
            why = found.pop(str(n))
            if why == "unknown_organization" != decision.reason:
                assert not decision.allowed  # made after the snapshot: the one difference that there may be
            else:
                assert why == (None if decision.allowed else decision.reason), question
            type(self).told[why] += 1
        assert not found


def _exact(asked: Any) -> bool:
    """Whether the instant was not cut off, as far as the filter can see: else it is careful where a member has left."""
    return asked.collected_at is not None and to_micros(asked.collected_at) % 1_000 != 0


def _normal(text: str | None) -> str | None:
    """The id as the filter takes it: the portal also knows it in other spellings, which are unknown there."""
    if text is None or not text.startswith(EXTERNAL):
        return text and text.lower()
    name = text.removeprefix(EXTERNAL)
    return external_ids.asked(name) or name


def _named(text: str | None, kind: str) -> bool:
    return text is None or text.startswith(EXTERNAL) == (kind == "external")


@pytest.mark.slow
@pytest.mark.django_db
def test_filter__random_histories__as_decisions_say(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "django.request")
    for size in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, size, 1)
    Filtered.told.clear()
    run_state_machine_as_test(
        Filtered,
        settings=settings(
            max_examples=6, stateful_step_count=30, derandomize=True, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    assert Filtered.told.total() > 700 and Filtered.told[None] > 50, Filtered.told
    assert len(Filtered.told) > 10, Filtered.told

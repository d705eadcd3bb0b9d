"""What an import is told to read: each way in which that can't be right is refused, naming the field."""

from typing import Any

import pytest

from consent.errors import Invalid
from consent.imports import reading
from consent.imports.fields import ImportPlan
from consent.models import BulkJob, ImportFile
from tests.support.factories import ActorFactory

pytestmark = pytest.mark.django_db

HALLS = {"name": "Name", "external_id": "Id"}
MEMBERS = {"organization": "a", "email": "b", "role": "c"}


def plan(table: str = "organizations", columns: dict[str, str] = HALLS, **more: Any) -> ImportPlan:
    return ImportPlan(table, columns, **({"plans": ("le_chat_free",)} | more))


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        (plan("runes"), "unknown_table", "table"),
        (plan(columns=HALLS | {"runes": "Runes"}), "unknown_field", "columns"),
        (plan(columns={"external_id": "Id"}), "required", "columns/name"),
        (plan("members", MEMBERS), "invalid", "plans"),
        (plan("members", MEMBERS, plans=(), allow_similar=True), "invalid", "plans"),
        (plan(kind="guild"), "unknown_kind", "kind"),
        (plan(kind="personal"), "owner", "kind"),
        (plan(columns=HALLS | {"owner_email": "Mail"}), "owner", "kind"),
        (plan(columns=HALLS | {"choice": "Training"}, default_choice="opted_out"), "invalid", "default_choice"),
        (plan(default_choice="default"), "unknown_choice", "default_choice"),
        (plan(plans=()), "required", "plans"),
        (plan(plans=("runes",)), "unknown_plan", "plans"),
        (plan(plans=("le_chat_free", "le_chat_pro")), "plans", "plans"),
    ],
)  # fmt: skip
def test_plan__that_can_not_be_right__refused_and_nothing_made(asked: ImportPlan, code: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        reading.prepare(
            plan=asked, actor=ActorFactory(of_commands=True), source="admin", name="halls.csv", reason="Moved"
        )
    assert (refused.value.code, refused.value.field) == (code, field)
    assert not BulkJob.objects.exists()


@pytest.mark.parametrize(
    "asked",
    [
        plan(), plan(plans=("le_chat_free", "ai_studio_scale")), plan(default_choice="opted_out"),
        plan(kind="personal", columns=HALLS | {"owner_email": "Mail"}),
        plan(columns=HALLS | {"owner_email": "Mail", "kind": "Kind"}),
        plan("members", MEMBERS, plans=()),
    ],
)  # fmt: skip
def test_plan__that_can_be__as_it_is(asked: ImportPlan) -> None:
    assert asked.checked() == asked == ImportPlan.from_json(asked.to_json())


@pytest.mark.parametrize(
    ("table", "data", "code"),
    [("runes", [b"a\n"], "unknown_table"), ("members", [b"", b""], "empty"), ("members", [], "empty")],
)  # fmt: skip
def test_upload__unknown_table_or_empty_file__refused_and_nothing_kept(
    table: str, data: list[bytes], code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        reading.upload(table=table, name="a.csv", data=data, actor=ActorFactory(of_commands=True))
    assert refused.value.code == code
    assert not ImportFile.objects.exists()


def test_read_next__file_no_longer_kept__job_cancelled_and_told() -> None:
    actor = ActorFactory(of_commands=True)
    file = reading.upload(table="organizations", name="halls.csv", data=[b"Name,Id\nA,a\n"], actor=actor)
    job = reading.prepare(plan=plan(), actor=actor, source="admin", name=file.name, **{reading.FILE: str(file.pk)})
    file.delete()
    assert reading.read_next()
    job.refresh_from_db()
    assert (job.status, job.error) == ("cancelled", "The uploaded file is no longer kept. Upload it again.")
    assert not reading.read_next()

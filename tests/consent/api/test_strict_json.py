"""Duplicate names in a JSON object are ambiguous, so they are refused wherever JSON is read."""

import json
from pathlib import Path

import pytest
from django.utils import translation

from config import strict_json
from consent.files.tables import open_table
from consent.models import ConsentEvent
from tests.support.callers import World, assert_problem, state
from tests.support.factories import ActorFactory, OrganizationFactory
from tests.support.imports import counts, importer

pytestmark = pytest.mark.django_db

TWICE = (
    '{"choice": "opted_out", "choice": "opted_in", "reason": "x"}',
    '{"choice": "opted_in", "reason": "x", "choice": "opted_out"}',
    '{"choice": "opted_in", "ch\\u006fice": "opted_in", "reason": "x"}',
)


@pytest.mark.parametrize("body", TWICE)
@pytest.mark.parametrize("caller", ["key", "operator_key", "owner"])
def test_choice__said_twice__400_that_names_it_and_nothing_changes(caller: str, body: str, world: World) -> None:
    path = f"{world.labs}privacy-settings/le_chat_console/"
    world.owner.put(path, {"choice": "opted_out"})
    before, tag = state(), world.owner.get(path)["ETag"]
    answer = getattr(world, caller)("PUT", path, body.encode(), If_Match=tag)
    assert_problem(answer, 400, "malformed", "#")
    assert '"choice"' in json.loads(answer.content)["detail"]
    assert state() == before


def questions(world: World) -> dict[str, tuple[str, str]]:
    """Path and body of each face that answers questions, with a name twice in it, at some depth."""
    labs = f'"organization": "{world.cast.labs.pk}"'
    subject = f'"subject": {{"type": "organization", "id": "x", "id": "{world.cast.labs.pk}"}}'
    rest = '"action": {"name": "train"}, "resource": {"type": "product", "id": "ai_studio"}'
    return {
        "decisions": ("decisions/", f'{{{labs}, "product": "le_chat", "product": "ai_studio"}}'),
        "batch": ("decisions/batch/", f'{{"items": [{{{labs}, "product": "x", "product": "ai_studio"}}]}}'),
        "authzen": ("/access/v1/evaluation", f"{{{subject}, {rest}}}"),
        "evaluations": ("/access/v1/evaluations", f'{{{subject}, {rest}, "evaluations": [{{}}]}}'),
        "bulk": (
            "bulk-jobs/",
            '{"surface": "le_chat_console", "choice": "opted_out", "select": {"status": 1, "status": 2}}',
        ),
    }


@pytest.mark.parametrize("face", ["decisions", "batch", "authzen", "evaluations", "bulk"])
def test_question__with_a_name_twice__400_and_no_answer(face: str, world: World) -> None:
    before = state()
    path, body = questions(world)[face]
    answer = world.operator_key.post(path, body.encode())
    assert answer.status_code == 400, answer.content
    assert "twice" in answer.content.decode()
    assert state() == before


def test_rows_of_a_file__looked_at_in_french__faults_are_in_one_language(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a"}\n{"id": "b"\n', encoding="utf-8")
    with translation.override("fr"):
        problems = [record.problem for record in open_table(str(path))]
        assert problems == ["", "is no JSON: it ends too early"] and translation.get_language() == "fr"


def test_import__row_with_a_name_twice__is_a_bad_row(tmp_path: Path) -> None:
    OrganizationFactory.with_ids("kv-1", "kv-2", plan="le_chat_free", actor=ActorFactory(of_commands=True))
    load = importer("import_choices", tmp_path)
    rows = (
        '{"organization": "external:kv-2", "product": "le_chat", "choice": "opted_out"}',
        '{"organization": "external:kv-1", "product": "le_chat", "choice": "opted_out", "choice": "opted_in"}',
        "[" * 100_000,
    )
    result = load("\n".join(rows) + "\n", "--skip-bad", name="file.jsonl")
    assert counts(result) == {"chosen": 1, "bad": 2}, result
    first = load("\n".join(rows[1:]) + "\n", "--skip-bad", name="other.jsonl")
    assert first.code == 1 and "The first line is no JSON: the name" in first.err
    assert ConsentEvent.objects.filter(kind__startswith="choice.").get().organization.external_id == "kv-2"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": {"b": 1, "b": 1}}', 'the name "b" appears twice'),
        ('[{"a": 1}, {"": 1, "": 2}]', 'the name "" appears twice'),
        ("NaN", "NaN is not JSON"),
        ("[" * 100_000, "nested too deep"),
        ("{", "ends too early"),
        ("{\n x}", "at line 2, column 2"),
        ("", "is empty"),
        (b"\xff{}", "not in UTF-8, at byte 1"),
        ("{}".encode("utf-16"), "not in UTF-8"),
        ("\ufeff{}", "byte order mark"),
        ("1" * 5000, "too many digits"),
        ("[1e999]", "too large"),
    ],
)
def test_loads__not_read_in_one_way_only__refused(text: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        strict_json.loads(text)


def test_loads__one_name_in_two_objects__read() -> None:
    assert strict_json.loads('[{"a": {"a": 1}}, {"a": 2}]') == [{"a": {"a": 1}}, {"a": 2}]

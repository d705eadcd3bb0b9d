"""The words that people see as they choose: none changes unnoticed, and each is kept for good."""

import dataclasses

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.access import Actor
from consent import verification, wordings
from consent.models import ConsentEvent, Wording
from consent.models.wordings import canonical, digest
from consent.surfaces import LE_CHAT_CONSOLE, NOT_STATED, SURFACES, WORDS, Shown, Surface
from consent.wording_digests import DIGESTS, NOT_KEPT
from tests.support.cast import Cast
from tests.support.choices import OUT, choose
from tests.support.ledger_guards import behind_the_guards, sql

pytestmark = pytest.mark.django_db
EVERY = [(surface, language) for surface in SURFACES.values() for language in ("en", "fr")]
WHAT_TO_DO = (
    "the words of {0} in {1} have changed. Raise its tag in consent/surfaces.py, and add the digests of the new tag to"
    " consent/wording_digests.py: {2}"
)


@pytest.mark.parametrize(("surface", "language"), EVERY, ids=str)
def test_words__of_each_tag_and_language__as_when_the_tag_was_given(surface: Surface, language: str) -> None:
    now = digest(wordings.content_of(surface, language))
    assert DIGESTS.get(surface.wording, {}).get(language) == now, WHAT_TO_DO.format(surface.wording, language, now)


def test_words__in_another_language__are_other_words() -> None:
    for surface in SURFACES.values():
        assert sorted(DIGESTS[surface.wording]) == sorted(wordings.languages())
        assert len(set(DIGESTS[surface.wording].values())) == len(wordings.languages())


@pytest.mark.parametrize("surface", SURFACES.values(), ids=lambda surface: surface.key)
def test_words__any_of_them_another__the_digest_is_another(surface: Surface) -> None:
    before = wordings.content_of(surface, "en")
    for part in WORDS:
        if getattr(surface.words, part):
            other = dataclasses.replace(surface, words=dataclasses.replace(surface.words, **{part: "Other"}))
            assert digest(wordings.content_of(other, "en")) != digest(before), part
    for part in ("label", "covers", "covers_one", "path"):
        other = dataclasses.replace(surface, **{part: ("Other",) if part == "path" else "Other"})
        assert digest(wordings.content_of(other, "en")) != digest(before), part


def test_words__all_that_the_catalogue_says__are_among_the_parts() -> None:
    assert sorted(WORDS) == sorted(field.name for field in dataclasses.fields(LE_CHAT_CONSOLE.words))


def test_tags__each_number_up_to_the_current_one__kept_or_known_as_lost() -> None:
    for surface in SURFACES.values():
        key, _slash, number = surface.wording.partition("/")
        assert key == surface.key
        earlier = {f"{key}/{n}" for n in range(1, int(number) + 1)}
        assert earlier == {tag for tag in {*DIGESTS, *NOT_KEPT} if tag.startswith(f"{key}/")}


def test_content__has_one_spelling() -> None:
    texts = {"b": "é “x”", "a": "1"}
    assert canonical("t/1", "fr", texts) == '{"language":"fr","texts":{"a":"1","b":"é “x”"},"wording":"t/1"}'


def test_migrate__keeps_the_words_of_every_surface_and_language() -> None:
    kept = {(each.wording, each.language): each for each in Wording.objects.all()}
    assert len(kept) == len(EVERY) and wordings.missing() == []
    for surface, language in EVERY:
        row = kept[surface.wording, language]
        assert (row.surface, row.sha256) == (surface.key, DIGESTS[surface.wording][language])
        assert row.texts["label"] and row.content == wordings.content_of(surface, language)


def test_sync__again__adds_nothing_and_a_new_tag_alone_is_added() -> None:
    before = list(Wording.objects.order_by("pk").values())
    assert wordings.sync() == []
    newer = dataclasses.replace(LE_CHAT_CONSOLE, wording="le_chat_console/99", label="Other")
    assert [str(each) for each in wordings.sync([newer])] == ["le_chat_console/99 en", "le_chat_console/99 fr"]
    assert list(Wording.objects.order_by("pk").values())[: len(before)] == before


def test_sync__another_text_under_a_kept_tag__refused_and_nothing_added() -> None:
    newer = dataclasses.replace(LE_CHAT_CONSOLE, wording="le_chat_console/99")
    changed = dataclasses.replace(LE_CHAT_CONSOLE, label="Other")
    before = list(Wording.objects.order_by("pk").values())
    with pytest.raises(wordings.WordsChanged, match=r"le_chat_console/3 \(en\)"):
        wordings.sync([newer, changed])
    assert list(Wording.objects.order_by("pk").values()) == before


STATEMENTS = {
    "update": "UPDATE consent_wording SET content = 'x'",
    "of one": "UPDATE consent_wording SET valid_from = 0 WHERE id = (SELECT MIN(id) FROM consent_wording)",
    "delete": "DELETE FROM consent_wording",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_wordings__once_somebody_may_have_seen_them__neither_changed_nor_deleted(cast: Cast, statement: str) -> None:
    before = list(Wording.objects.order_by("pk").values())
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(statement)
    if connection.vendor == "sqlite":
        replace = "INSERT OR REPLACE INTO consent_wording SELECT id, wording, surface, language, 'x', sha256, 0"
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            sql(f"{replace} FROM consent_wording")
    for refused in (Wording.objects.all().delete, Wording.objects.first().delete):  # type: ignore[union-attr]
        with pytest.raises(TypeError):
            refused()
    assert list(Wording.objects.order_by("pk").values()) == before


def test_wordings__before_the_first_event__replaced_by_those_of_a_moved_installation() -> None:
    assert not ConsentEvent.objects.exists()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(STATEMENTS["update"])
    sql(STATEMENTS["delete"])
    assert len(wordings.missing()) == len(EVERY) == len(wordings.sync())


def chosen(cast: Cast, shown: Shown) -> ConsentEvent:
    choose(cast, OUT, Actor.from_user(cast.admin, confirmed=True), shown=shown)
    return ConsentEvent.objects.latest("pk")


@pytest.mark.parametrize("tag", sorted(NOT_KEPT))
def test_verify__words_of_before_they_were_kept__no_fault(cast: Cast, tag: str) -> None:
    chosen(cast, Shown(tag))
    assert verification.verify().problems == []


@pytest.mark.parametrize("shown", [Shown(LE_CHAT_CONSOLE.wording, "fr", "1.0"), NOT_STATED, Shown()], ids=str)
def test_verify__kept_words_or_none__no_fault(cast: Cast, shown: Shown) -> None:
    chosen(cast, shown)
    assert verification.verify().problems == []


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        (Shown("le_chat_console/77", "en"), "names words that are not kept: le_chat_console/77 (en)"),
        (Shown(LE_CHAT_CONSOLE.wording, "de"), f"names words that are not kept: {LE_CHAT_CONSOLE.wording} (de)"),
        (Shown(LE_CHAT_CONSOLE.wording), f"names words that are not kept: {LE_CHAT_CONSOLE.wording} ()"),
        (Shown("", "en"), "names a language without words"),
    ],
)
def test_verify__an_event_that_names_words_nobody_kept__named(cast: Cast, shown: Shown, says: str) -> None:
    event = chosen(cast, shown)
    assert verification.verify().problems == [f"event {event.pk} {says}"]


@pytest.mark.parametrize("with_digest", [False, True], ids=["the words", "the words and their digest"])
def test_verify__words_rewritten_by_the_owner_of_the_database__named(cast: Cast, with_digest: bool) -> None:
    row = Wording.objects.get(wording=LE_CHAT_CONSOLE.wording, language="en")
    content = row.content.replace("Allow your", "Keep your")
    assert content != row.content
    with behind_the_guards():
        sql("UPDATE consent_wording SET content = %s WHERE id = %s", [content, row.pk])
        if with_digest:
            sql("UPDATE consent_wording SET sha256 = %s WHERE id = %s", [digest(content), row.pk])
    assert verification.verify().problems == [f"wording {row.wording} (en) was altered: its digest is another"]

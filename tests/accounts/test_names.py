"""The words of names, by which organizations are found."""

import pytest

from accounts import names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Kvasir Labs", ("kvasir", "labs")),
        ("  Tomasz ZIELIŃSKI ", ("tomasz", "zielinski")),
        ("Żółw & Søn – L'Œuvre", ("zolw", "son", "l", "oeuvre")),
        ("Straße/STRASSE", ("strasse",)),
        ("Ａｃｍｅ ﬁnance 2.0", ("acme", "finance", "2", "0")),
        ("İstanbul ılık", ("istanbul", "ilik")),
        ("Ελλάς Ἑλλάδα", ("ελλασ", "ελλαδα")),
        ("株式会社 東京", ("株式会社", "東京")),
        ("हिन्दी", ("हनद",)),
        ("snake_case-name", ("snake", "case", "name")),
        ("…!", ()),
        ("a\ud800b", ("a", "b")),
    ],
)
def test_words__of_a_name__without_case_accents_and_signs(name: str, words: tuple[str, ...]) -> None:
    assert names.words(name) == words


def test_words__of_any_name__decomposed_or_composed_the_same() -> None:
    assert names.words("Zu\u0308rich") == names.words("Zürich") == ("zurich",)


def test_words__too_long__cut_so_that_an_index_can_hold_them() -> None:
    assert names.words("a" * 200) == ("a" * names.LENGTH,)
    many = names.words(" ".join(f"{number:03}ﷺ" for number in range(50)))
    assert 0 < len(" ".join(many)) <= names.ALL

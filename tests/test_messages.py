"""The French translation: complete, up to date with the code, and compiled."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from django.utils import translation
from django.utils.translation import gettext, ngettext

from consent.presentation.sentences import day
from consent.surfaces import SURFACES
from tests.support.cast import Cast
from tests.support.console import signed_in
from tests.support.french import ill_set, texts_of, words

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = Path("locale/fr/LC_MESSAGES/django.po")
# As `make messages` does.
MAKE = ("makemessages", "-l", "fr", "--no-obsolete", "--no-location", "--no-wrap")


@pytest.fixture
def gettext_tools() -> None:
    if shutil.which("xgettext") is None:
        message = "no gettext found: install it (Debian: apt-get install gettext)"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.mark.thorough
def test_catalogue__made_anew__has_no_difference(gettext_tools: None, tmp_path: Path) -> None:
    for part in ("accounts", "config", "consent", "templates", "locale"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "manage.py", tmp_path)
    (tmp_path / "static").mkdir()
    subprocess.run([sys.executable, "manage.py", *MAKE], cwd=tmp_path, check=True, capture_output=True)
    before, after = (folder.joinpath(CATALOGUE).read_text(encoding="utf-8") for folder in (ROOT, tmp_path))
    assert after == before, "run make messages, and translate what is new"


def test_catalogue__compiled__is_this_one(gettext_tools: None, tmp_path: Path) -> None:
    made = tmp_path / "django.mo"
    command = ["msgfmt", "--check", "-o", str(made), str(ROOT / CATALOGUE)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "fuzzy" not in told.stderr and "untranslated" not in told.stderr
    assert made.read_bytes() == (ROOT / CATALOGUE).with_suffix(".mo").read_bytes()


def test_catalogue__every_entry__said_in_french() -> None:
    text = (ROOT / CATALOGUE).read_text(encoding="utf-8")
    assert "#, fuzzy" not in text
    entries = text.split("\n\n")[1:]
    assert len(entries) > 800
    assert [entry for entry in entries if re.search(r'^msgstr(\[\d\])? ""$(?!\n")', entry, re.MULTILINE)] == []


def french_of_all() -> list[tuple[str, str]]:
    """Each English text, and what it is in French; of a text with a plural both forms."""
    text = (ROOT / CATALOGUE).read_text(encoding="utf-8")
    found = []
    for entry in text.split("\n\n")[1:]:
        said = re.findall(r'^(msgid|msgid_plural|msgstr(?:\[\d\])?) (".*(?:\n".*)*)', entry, re.MULTILINE)
        forms = {key: "".join(map(ast.literal_eval, quoted.split("\n"))) for key, quoted in said}
        told = [form for key, form in forms.items() if key.startswith("msgstr")]
        asked = [form for key, form in forms.items() if key.startswith("msgid")]
        found += zip(asked, told, strict=True)
    return found


def test_words__placeholders__are_those_of_the_english() -> None:
    def names(text: str) -> list[str]:
        return sorted(re.findall(r"%\(\w+\)s|%s|\{\w+\}", text))

    assert [english for english, french in french_of_all() if names(english) != names(french)] == []


def test_words__french__are_set_as_french_is() -> None:
    assert [wrong for _english, french in french_of_all() for wrong in ill_set(french)] == []


# What is no text, or marked: tags and variables with what they enclose, and blocks that are filled with classes.
_MARKED = re.compile(
    r"{#.*?#}|{{.*?}}|{% comment.*?endcomment %}|{% blocktranslate.*?endblocktranslate %}"
    r"|{% block (?:\w*class|width) %}.*?endblock %}|{%.*?%}",
    re.DOTALL,
)
_ALIKE = {"lines", "ms"}  # in every language: JSON Lines, milliseconds


def test_templates__every_word__is_marked_for_translation() -> None:
    unmarked = {}
    for path in (ROOT / "templates").rglob("*.*"):
        text = _MARKED.sub(" ", path.read_text(encoding="utf-8"))
        texts = texts_of(text) if path.suffix == ".html" else {text}
        if found := {word for each in texts for word in words(each)} - _ALIKE:
            unmarked[path.relative_to(ROOT).as_posix()] = found
    assert unmarked == {}


def test_surfaces_and_counts__in_french() -> None:
    with translation.override("fr"):
        assert str(SURFACES["le_chat_mobile"].label) == "Activer le partage des données"
        assert gettext("Opt out everywhere") == "Refuser partout"
        assert ngettext("%(n)s bad row", "%(n)s bad rows", 3) % {"n": 3} == "3 lignes fautives"


@pytest.mark.django_db
def test_page__asked_for_in_french__is_french_with_french_dates(cast: Cast) -> None:
    client = signed_in(cast, "owner")
    page = client.get(f"/o/{cast.labs.pk}/members/", headers={"accept-language": "fr"}).content.decode()
    assert '<html lang="fr"' in page and "Propriétaire" in page and "Ada Lindqvist" in page
    with translation.override("fr"):
        assert day(cast.labs_member.joined_at) in page


@pytest.mark.django_db
def test_language__chosen__kept_in_a_cookie() -> None:
    client = Client()
    answer = client.post("/language/", {"language": "fr", "next": "/sign-in/"})
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in/")
    assert "Se connecter" in client.get("/sign-in/").content.decode()
    assert client.post("/language/", {"language": "fr", "next": "https://evil.example/"})["Location"] == "/"

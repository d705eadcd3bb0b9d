"""README and docs are true: links work; make targets, commands and options exist; the example gets its answer."""

import argparse
import ast
import json
import re
import shlex
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from consent.pipeline import cli
from tests.support.keys import issue_key

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / ".github").glob("*.md"))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


TEXTS = {name(page): page.read_text(encoding="utf-8") for page in PAGES}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
# `name --option`, in the cells of tables and in running text.
CALLS = re.compile(r"`(?:manage\.py )?([a-z]+_[a-z_]+|explain|demo|job|worker|export)((?: [^`]*)?)`")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page__links__lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXTS[name(page)])
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page__links_to_a_heading__find_it(page: Path) -> None:
    targets = re.findall(r"\]\(([^):]*)#([^)]+)\)", TEXTS[name(page)])
    lost = [
        f"{path}#{anchor}"
        for path, anchor in targets
        if anchor not in anchors((page.parent / path).read_text(encoding="utf-8") if path else TEXTS[name(page)])
    ]
    assert lost == []


def anchors(text: str) -> set[str]:
    """The names that the forge gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_page__files_that_it_names__are_there(page: Path) -> None:
    """`accounts/access.py`, `tests/consent/`: what begins with one of our folders and is no pattern."""
    named = re.findall(
        r"`((?:accounts|benchmarks|config|consent|docs|scripts|static|tests)/[\w./-]*)`", TEXTS[name(page)]
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def modules() -> set[str]:
    """Every module of the product with something in it; migrations count as their folder."""
    paths = {path for package in ("accounts", "config", "consent") for path in (ROOT / package).rglob("*.py")}
    return {
        f"{name(path.parent)}/" if path.parent.name == "migrations" else name(path)
        for path in paths
        if path.name != "__init__.py"
    }


def test_map__has_each_module_once_and_no_other() -> None:
    lines = re.findall(r"^- `((?:accounts|config|consent)/[^`]*)`: \S", TEXTS["docs/map.md"], re.MULTILINE)
    packages = {line for line in lines if line.endswith("/") and not line.endswith("/migrations/")}
    assert {*lines} - packages == modules()
    assert len(lines) == len({*lines})
    assert [package for package in packages if not (ROOT / package).is_dir()] == []


def defined(path: str) -> set[str]:
    """The functions and classes of a module, and the methods of its classes as Class.method."""
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    top = [node for node in body if isinstance(node, kinds)]
    methods = {f"{node.name}.{each.name}" for node in top for each in node.body if isinstance(each, kinds)}
    return methods | {node.name for node in top}


def test_how_it_works__functions_that_it_names_after_a_module__are_there() -> None:
    steps = re.findall(r"`([a-z_/]+\.py)`: `([\w.]+)`", TEXTS["docs/how-it-works.md"])
    assert len(steps) > 20
    assert [(path, function) for path, function in steps if function not in defined(path)] == []


def test_pages__make_targets__exist() -> None:
    named = {target for text in TEXTS.values() for target in re.findall(r"`?make ([a-z-]+)", text)}
    there = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert {"run", "test"} <= named
    assert set(re.findall(r"`make ([a-z-]+)`", "".join(TEXTS.values()))) <= there


def commands_named() -> list[tuple[str, str]]:
    ours = {name for name, app in get_commands().items() if app in ("accounts", "consent")}
    return sorted({(name, rest) for text in TEXTS.values() for name, rest in CALLS.findall(text) if name in ours})


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a command, and of its verbs, where it has some."""
    known = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            known |= {option for verb in action.choices.values() for option in verb._option_string_actions}
    return known


@pytest.mark.parametrize(("name", "rest"), commands_named())
def test_pages__options_of_a_command__exist(name: str, rest: str) -> None:
    known = options_of(load_command_class(get_commands()[name], name).create_parser("manage.py", name))
    assert [option for option in re.findall(r"--[a-z-]+", rest) if option not in known] == []


def called_in_blocks() -> list[tuple[str, str]]:
    """The commands in blocks of shell, each with its options."""
    blocks = re.findall(r"^```sh\n(.*?)^```", "\n".join(TEXTS.values()), re.DOTALL | re.MULTILINE)
    lines = {line for block in blocks for line in block.replace("\\\n", " ").splitlines()}
    called = (re.search(r"(?:manage\.py|python -m consent\.pipeline) ([a-z_]+)([^|;#>)]*)", line) for line in lines)
    return sorted({(found[1], found[2].strip()) for found in called if found})


@pytest.mark.parametrize(("name", "rest"), called_in_blocks())
def test_pages__options_of_a_command_in_a_block__exist(name: str, rest: str) -> None:
    if name in ("filter", "verify"):
        parser = argparse.ArgumentParser()
        {"filter": cli.add_filter, "verify": cli.add_verify}[name](parser)
        known = set(parser._option_string_actions)
    else:
        known = options_of(load_command_class(get_commands()[name], name).create_parser("manage.py", name))
    assert [option for option in re.findall(r"(?<!\S)--[a-z-]+", rest) if option not in known] == []


@pytest.mark.django_db
def test_readme__lists_every_command() -> None:
    ours = {name for name, app in get_commands().items() if app in ("accounts", "consent")}
    assert {name for name in ours if f"`{name}" not in TEXTS["README.md"]} == set()


@pytest.mark.slow
@pytest.mark.usefixtures("demo")
def test_readme__example__answers_as_it_says(live_server: Any) -> None:
    (_key, text) = issue_key("pipeline", ["decisions:read"])
    block = re.search(r"curl -s (?:.|\n)*?\n```", TEXTS["README.md"])
    assert block is not None
    words = shlex.split(block[0].removesuffix("```").replace("\\\n", " "))
    url = next(word for word in words if word.startswith("http")).replace("http://localhost:8000", live_server.url)
    headers = dict(word.replace("$KEY", text).split(": ", 1) for word in words if ": " in word and word[0].isupper())
    request = urllib.request.Request(url, data=words[-1].encode(), headers=headers)  # noqa: S310
    answer = json.load(urllib.request.urlopen(request))  # noqa: S310  our own server
    said = json.loads(re.search(r"```json\n(.*)\n```", TEXTS["README.md"])[1])  # type: ignore[index]
    assert {**answer, "decided_at": "…"} == said

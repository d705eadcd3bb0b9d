"""Every outcome of a job's row has a text for people, on pages and in commands; programs get its code."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest
from django.utils import translation

from consent import imports, jobs
from consent.imports import outcomes
from consent.models import ProblemKind, ReasonCode

MODULES = [path for package in (jobs, imports) for path in Path(package.__file__).parent.rglob("*.py")]
# Names of constants that are outcomes, and where a literal one would stand: the argument of each.
CODES = {
    "APPLY", "SAME", "CHANGE", "DIFFERING", "PAST", "BAD", "EXISTS", "PERSONAL", "KNOWN", "UNAPPROVED", "SIMILAR",
    "DUPLICATE", "OPT_OUT", "CHANGED_SINCE", "AUTHORITY_ENDED",
}  # fmt: skip
PLACES = {"Fault": 3, "Verdict": 0}


def constants() -> dict[str, str]:
    """The constants of all modules of bulk jobs that are texts, by name."""
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}")
        for package in (jobs, imports)
        for each in pkgutil.iter_modules(package.__path__)
    ]
    return {name: value for each in modules for name, value in vars(each).items() if isinstance(value, str)}


def literals() -> set[str]:
    """Outcomes that stand where they are given, in place of a name."""
    found: set[str] = set()
    for path in MODULES:
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in PLACES:
                code = each.args[PLACES[each.func.id] :][:1]
                found |= {part.value for part in code if isinstance(part, ast.Constant)}
            if isinstance(each, ast.keyword) and each.arg == "outcome" and isinstance(each.value, ast.Constant):
                found.add(each.value.value)
    return found


def test_outcomes__all_that_there_are__have_words() -> None:
    there = constants()
    assert CODES - there.keys() == set()
    codes = {there[name] for name in CODES} | set(ReasonCode.values) | set(ProblemKind.values)
    assert {code for code in codes if code not in outcomes.WORDS} == set()
    assert literals() <= {""}


@pytest.mark.parametrize("code", outcomes.WORDS)
def test_outcomes__words__are_no_code(code: str) -> None:
    with translation.override("en"):
        words = outcomes.in_words(code)
    assert words and "_" not in words and words != code


def test_outcomes__what_is_none__is_an_error() -> None:
    with pytest.raises(KeyError):
        outcomes.in_words("nonsense")

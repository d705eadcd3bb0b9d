"""Every service that changes something writes an event: checked in the source code, so that new ones are covered."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[3] / "consent/services"
# Where an event is written, in the end; and how a row is.
EVENTS = {"ledger.record", "trail.note", "note"}
ROWS = {"save", "create", "create_user", "update", "delete", "bulk_create", "update_or_create"}
Function = tuple[str, str]  # module, name
# What gives nobody anything and takes nothing away, each with its reason.
LEAVE_NONE = {
    ("addresses", "ask"): "links by mail, which change nothing: the change and its event come with `confirm`",
    ("consumers", "report"): "a position, which stands among the advances of positions, insert-only as the ledger is",
    ("people", "rename"): "a person's name; events hold ids",
    ("profile", "change"): "a person's own name, language and time zone; events hold ids",
    ("profile", "choose_language"): "the language in which a person reads",
    ("webhooks", "request_test"): "a message without content, which stands among the attempts",
    ("webhooks", "resend"): "a message that its webhook had already, or was to have, which stands among the attempts",
}


def functions() -> dict[Function, ast.FunctionDef]:
    return {
        (path.stem, node.name): node
        for path in sorted(SERVICES.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


ALL = functions()


def has_actor(function: ast.FunctionDef) -> bool:
    return any(each.arg == "actor" for each in (*function.args.args, *function.args.kwonlyargs))


def calls(function: Function) -> set[str]:
    """What it calls, also where it prepares the call for later."""
    found = [node for node in ast.walk(ALL[function]) if isinstance(node, ast.Call)]
    prepared = [node.args[0] for node in found if ast.unparse(node.func) == "functools.partial"]
    return {ast.unparse(each) for each in [*(node.func for node in found), *prepared]}


def reaches(function: Function, what: Callable[[str], bool], seen: frozenset[Function] = frozenset()) -> bool:
    """Whether it calls such a thing, itself or by way of functions of the services."""
    if function in seen:
        return False
    for called in calls(function):
        if what(called):
            return True
        owner, _dot, bare = called.rpartition(".")
        within = (owner if (owner, bare) in ALL else function[0], bare)
        if within in ALL and reaches(within, what, seen | {function}):
            return True
    return False


def leaves_an_event(function: Function) -> bool:
    return reaches(function, lambda called: called in EVENTS)


def changes_rows(function: Function) -> bool:
    return reaches(function, lambda called: called.rpartition(".")[2] in ROWS and "." in called)


ACTING = [each for each, node in ALL.items() if has_actor(node) and not each[1].startswith("_") and changes_rows(each)]


@pytest.mark.parametrize("function", [each for each in ACTING if each not in LEAVE_NONE], ids=".".join)
def test_service__by_which_somebody_changes_something__leaves_an_event(function: Function) -> None:
    assert leaves_an_event(function), "no event: note it, or say in LEAVE_NONE why not"


def test_acting__are_the_services_that_one_would_name() -> None:
    assert {
        ("choices", "choose"),
        ("credentials", "issue_key"),
        ("credentials", "suspend_for"),
        ("exports", "note_export"),
        ("invitations", "withdraw"),
        ("webhooks", "delete_endpoint"),
    } - set(ACTING) == {("exports", "note_export")}, "an export changes nothing but the ledger"


def test_exceptions__leave_none() -> None:
    assert not any(leaves_an_event(each) for each in LEAVE_NONE if each in ALL)

"""Every service in whose name somebody acts leaves an event: read from the source, for what comes later too."""

import ast
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[2] / "consent/services"
# Where an event is written, in the end.
WRITES = {"ledger.record", "trail.note", "note"}
# What changes nothing, or what only another service may be called for, each with its reason.
LEAVE_NONE = {
    ("layers", "origin"): "says who acts; the caller writes",
    ("layers", "require_confirmed"): "asks",
}


def functions() -> dict[tuple[str, str], ast.FunctionDef]:
    return {
        (path.stem, node.name): node
        for path in sorted(SERVICES.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


ALL = functions()


def has_actor(function: ast.FunctionDef) -> bool:
    return any(each.arg == "actor" for each in (*function.args.args, *function.args.kwonlyargs))


def leaves_an_event(module: str, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> bool:
    """Whether it calls what writes an event, itself or by way of functions of the services."""
    if (module, name) in seen:
        return False
    for node in ast.walk(ALL[module, name]):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == "functools.partial":
            called = ast.unparse(node.args[0])
        if called in WRITES:
            return True
        owner, _dot, bare = called.rpartition(".")
        within = (owner if owner and (owner, bare) in ALL else module, bare)
        if within in ALL and leaves_an_event(*within, seen | {(module, name)}):
            return True
    return False


ACTING = [each for each, function in ALL.items() if has_actor(function) and not each[1].startswith("_")]


@pytest.mark.parametrize(("module", "name"), [each for each in ACTING if each not in LEAVE_NONE])
def test_service__in_whose_name_somebody_acts__leaves_an_event(module: str, name: str) -> None:
    assert leaves_an_event(module, name), f"{module}.{name} writes no event: note it, or say in LEAVE_NONE why not"


def test_exceptions__are_services_and_leave_none() -> None:
    assert set(LEAVE_NONE) <= set(ACTING)
    assert not any(leaves_an_event(*each) for each in LEAVE_NONE)

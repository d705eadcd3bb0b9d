"""Run a management command and see what its caller sees: exit code, stdout, stderr; and what the database contains."""

import dataclasses
import io
import json
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class

from accounts.management.program import ProgramCommand
from accounts.models import NameWord
from consent.models import PrivacySetting
from tests.support.factories import OPERATOR

ACTOR = ("--actor", OPERATOR)


@dataclasses.dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(name: str, *argv: str) -> Run:
    """Like `manage.py NAME ARGV…`, but in this process and on its database connection."""
    out, err = io.StringIO(), io.StringIO()
    return Run(run_into(out, err, name, *argv), out.getvalue(), err.getvalue())


def run_into(out: io.StringIO, err: io.StringIO, name: str, *argv: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        command = load_command_class(get_commands()[name], name)
        assert isinstance(command, ProgramCommand)
        return command.run(["manage.py", name, *argv])


def database() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the product's own tables, to compare before and after something that must change nothing.

    Without the words of names: the worker makes them of the names.
    """
    models = [*apps.get_app_config("accounts").get_models(), *apps.get_app_config("consent").get_models()]
    return {
        model._meta.db_table: sorted(model._base_manager.values_list(), key=repr)
        for model in models
        if model is not NameWord
    }


def choices_of(product: str) -> dict[str, str]:
    """External id → the organization's choice."""
    rows = PrivacySetting.objects.of_organizations().filter(product=product)
    return dict(rows.values_list("organization__external_id", "choice"))

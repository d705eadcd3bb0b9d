"""Shell completion for the portal's commands: python scripts/completion.py bash|zsh prints the completion script."""

import argparse
import os
import sys
from pathlib import Path

import shtab

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "manage.py"
# Completes `python manage.py …` in the same way as `manage.py …`.
_BY_PYTHON = """
_portal_by_python() {
  if [[ "${COMP_WORDS[1]##*/}" == manage.py ]]; then
    COMP_WORDS=("${COMP_WORDS[@]:1}"); COMP_CWORD=$((COMP_CWORD - 1))
    %s
  fi
}
complete -o default -F _portal_by_python python python3 .venv/bin/python
"""


def parser() -> argparse.ArgumentParser:
    """One parser with all commands as subcommands: the portal's with their options, Django's by name only."""
    from django.core.management import get_commands, load_command_class

    whole = argparse.ArgumentParser(prog=PROGRAM)
    commands = whole.add_subparsers(dest="command")
    for name, app in sorted(get_commands().items()):
        if app not in ("accounts", "consent"):
            commands.add_parser(name, help="Django's own")
            continue
        command = load_command_class(app, name)
        own = command.create_parser(PROGRAM, name)
        commands.add_parser(name, parents=[own], add_help=False, help=command.help.partition(". ")[0])
    return whole


def script(shell: str) -> str:
    text = str(shtab.complete(parser(), shell=shell))
    if shell == "bash":
        text += _BY_PYTHON % "_shtab_manage_py"
    return text


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in ("bash", "zsh"):
        sys.exit("usage: completion.py bash|zsh")
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    print(script(sys.argv[1]))


if __name__ == "__main__":
    main()

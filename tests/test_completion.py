"""Shell completion, tested with a real bash."""

import subprocess
from pathlib import Path

import pytest

from scripts.completion import script

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
function=$(complete -p "${COMP_WORDS[0]}" | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "completion.bash"
    path.write_text(script("bash"), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "there", "not_there"),
    [
        (["manage.py", "ex"], {"explain", "export", "export_state"}, {"job", "migrate"}),
        (["manage.py", "mig"], {"migrate"}, set()),
        (["manage.py", "job", "a"], {"approve"}, {"list"}),
        (["manage.py", "job", "list", "--s"], {"--status"}, {"--limit"}),
        (["manage.py", "job", "list", "--status", ""], {"queued", "done"}, {"explain"}),
        (["manage.py", "set_consent", "--choice", ""], {"opted_in", "opted_out"}, set()),
        (["manage.py", "export", "m"], {"members"}, {"choices"}),
        (["manage.py", "explain", "--q"], {"--quiet"}, set()),
        (["python", "manage.py", "job", "res"], {"resume"}, set()),
        (["python", "./manage.py", "create_o"], {"create_operator"}, set()),
    ],
)
def test_bash__tab__what_can_follow(bash: Path, words: list[str], there: set[str], not_there: set[str]) -> None:
    asked = subprocess.run(["bash", "-c", ASK, "ask", str(bash), *words], capture_output=True, text=True, check=True)
    found = set(asked.stdout.split())
    assert asked.stderr == ""
    assert there <= found and not found & not_there


def test_zsh__script__is_for_manage_py_and_knows_every_verb() -> None:
    text = script("zsh")
    assert text.startswith("#compdef manage.py")
    assert all(f'"{name}:' in text or f"{name})" in text for name in ("explain", "approve", "import_choices"))

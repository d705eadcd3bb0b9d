"""Installed packages are those of the requirement files, complete and with hashes; and how the audit reads answers."""

import re
import sys
from pathlib import Path

import pytest

from scripts import audit

ROOT = Path(__file__).parents[1]
LISTS = sorted(path.stem for path in (ROOT / "requirements").glob("*.in"))
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def compiled(name: str) -> Path:
    return ROOT / ("requirements.txt" if name == "runtime" else f"requirements/{name}.txt")


def versions(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package, version, _rest in ENTRY.findall(path.read_text(encoding="utf-8")):
        found.setdefault(normal(package), set()).add(version)
    return found


def direct(name: str) -> dict[str, str]:
    """Package → version of a list, and of those that it includes."""
    found: dict[str, str] = {}
    for line in (ROOT / f"requirements/{name}.in").read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= direct(line.removeprefix("-r ").removesuffix(".in"))
        elif line and not line.startswith("#"):
            package, separator, version = line.partition("==")
            assert separator, f"{line} is no exact pin"
            found[normal(package.partition("[")[0])] = version
    return found


@pytest.mark.parametrize("name", LISTS)
def test_list__every_pin__is_what_is_installed(name: str) -> None:
    there = versions(compiled(name))
    assert {package: {version} for package, version in direct(name).items()} == {
        package: there.get(package) for package in direct(name)
    }, "make lock"


@pytest.mark.parametrize("name", LISTS)
def test_compiled__every_package__has_hashes_and_nothing_else_is_in_there(name: str) -> None:
    text = compiled(name).read_text(encoding="utf-8")
    entries = ENTRY.findall(text)
    assert entries and all("--hash=sha256:" in rest for _package, _version, rest in entries)
    line = r"#.*|[A-Za-z0-9._-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?"
    assert [each for each in text.splitlines() if not re.fullmatch(line, each)] == []
    assert not re.search(r"https?:|index-url|find-links|file:| /", text)


def test_compiled__same_package__same_version_everywhere_it_is_run() -> None:
    runtime, production, dev = (versions(compiled(name)) for name in ("runtime", "production", "dev"))
    for smaller, larger in ((runtime, production), (production, dev)):
        assert smaller == {package: larger.get(package) for package in smaller}


# --- The audit ------------------------------------------------------------------------------------------------------

KNOWN = '{"name": "django", "version": "5.2.1", "vulns": %s}'
VULNERABLE = KNOWN % '[{"id": "CVE-1", "fix_versions": ["5.2.2"]}]'
UNKNOWN = '{"name": "django", "skip_reason": "not found"}'
AWAY = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='advisories.example', port=443)"


@pytest.mark.parametrize(
    ("packages", "error", "code", "said"),
    [
        ([KNOWN % "[]"], "", 0, "No vulnerability is known."),
        ([VULNERABLE, UNKNOWN], "", 1, "VULNERABLE: django 5.2.1: CVE-1, mended in 5.2.2"),
        ([UNKNOWN, UNKNOWN], "", 0, "NOT AUDITED, no advisory service answered: some.txt"),
        (None, AWAY, 0, "NOT AUDITED, no advisory service answered: some.txt"),
        (None, "ERROR: some.txt can't be parsed", 2, "can't be parsed"),
        (None, "", 2, "exit code 3"),
    ],
)
def test_audit__each_answer(
    packages: list[str] | None, error: str, code: int, said: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = "" if packages is None else f'{{"dependencies": [{", ".join(packages)}]}}'
    program = tmp_path / "answers.py"
    program.write_text(
        f"import sys\nprint({out!r})\nprint({error!r}, file=sys.stderr)\nsys.exit(3)\n", encoding="utf-8"
    )
    monkeypatch.setattr(audit, "PROGRAM", [sys.executable, str(program)])
    assert audit.main(["some.txt"]) == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert ("No vulnerability is known." in captured.out) is (said == "No vulnerability is known.")

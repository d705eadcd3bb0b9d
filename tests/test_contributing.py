"""The files for contributors exist, and agree with the Makefile, the code and CI."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import coverage_report
from scripts.coverage_report import Branches
from tests import measuring

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CHECKS = re.search(r"^CHECKS := (.+)$", MAKEFILE, re.MULTILINE)[1].split()  # type: ignore[index]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def loaded(path: str) -> Any:
    return yaml.safe_load(read(path))


# --- Checks -----------------------------------------------------------------------------------------------------------


def hooks() -> list[dict[str, Any]]:
    config = loaded(".pre-commit-config.yaml")
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    return [hook for repository in config["repos"] for hook in repository["hooks"]]


def test_pre_commit__its_hooks__are_the_checks_of_make_check() -> None:
    assert len(CHECKS) >= 8
    checks = [hook["entry"] for hook in hooks() if "stages" not in hook]
    assert checks == [f"make {name}" for name in CHECKS]


@pytest.mark.parametrize(("subject", "refused"), [("x" * 72, False), ("x" * 73, True), ("x\n\n" + "y" * 90, False)])
def test_pre_commit__subject_of_a_commit__is_at_most_72_characters(subject: str, refused: bool) -> None:
    (hook,) = [hook for hook in hooks() if hook.get("stages") == ["commit-msg"]]
    assert (hook["language"], hook["args"]) == ("pygrep", ["--multiline"])
    assert bool(re.search(hook["entry"], subject, re.MULTILINE)) is refused


def test_workflow__calls_ci_run__with_pinned_actions_and_no_rights_to_write() -> None:
    workflow = loaded(".github/workflows/ci.yml")
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert [
        step["uses"] for step in steps if not re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", step.get("uses", "a@v1.1.1"))
    ] == []
    assert workflow["permissions"] == {"contents": "read"}
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_ci__runs_checks_and_all_tests__the_tests_last() -> None:
    *before, last = [line.split() for line in read(".ci/run").splitlines() if line.startswith("make ")]
    targets = {word for words in before for word in words}
    assert targets >= {"check", "audit", "fuzz", "test-spark", "test-lake", "test-proofs"}
    assert "test" not in targets and last[:2] == ["make", "test"]


# --- What the forge shows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bug", "change"])
def test_issue_form__is_one(name: str) -> None:
    form = loaded(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


# --- Texts ------------------------------------------------------------------------------------------------------------


def texts() -> list[Path]:
    """Every text that people edit, as .editorconfig says it is to be."""
    kinds = {".css", ".html", ".js", ".jsonc", ".md", ".py", ".toml", ".yaml", ".yml"}
    folders = (
        "accounts",
        "benchmarks",
        "config",
        "consent",
        "docs",
        "scripts",
        "static",
        "templates",
        "tests",
        ".github",
    )
    found = [path for path in ROOT.iterdir() if path.is_file()]
    found += [path for folder in folders for path in (ROOT / folder).rglob("*")]
    named = {"Makefile", ".editorconfig", ".gitignore", "LICENSE", "NOTICE"}
    return [path for path in found if path.suffix in kinds or path.name in named]


def test_texts__end_and_break_their_lines_as_editorconfig_says() -> None:
    offenders = []
    for path in texts():
        content = path.read_bytes()
        whole = not content or (content.endswith(b"\n") and not content.endswith(b"\n\n"))
        if not whole or b"\r" in content or re.search(rb"[ \t]\n", content):
            offenders.append(path.relative_to(ROOT).as_posix())
    assert offenders == []


def test_changelog__keeps_the_format() -> None:
    text = read("CHANGELOG.md")
    assert text.startswith("# Changelog\n") and "https://keepachangelog.com/en/1.1.0/" in text
    releases = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    headings = [release.splitlines()[0] for release in releases]
    assert headings[0] == "[Unreleased]"
    versions = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in headings[1:]]
    assert None not in versions
    numbers = [tuple(int(number) for number in version.groups()[:3]) for version in versions if version]
    assert numbers == sorted(numbers, reverse=True)
    order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for release in releases:
        kinds = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert kinds == [kind for kind in order if kind in kinds], "each kind once, in this order"
        assert not re.search(r"^### .+\n+(### |\Z)", release, re.MULTILINE), "a kind without an entry"


@pytest.mark.parametrize(
    "target", ["LICENSE", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/decisions/README.md"]
)
def test_readme__leads_to_what_contributors_look_for(target: str) -> None:
    assert f"]({target})" in read("README.md")


def test_security__leads_to_private_reporting_and_names_no_address() -> None:
    text = read("SECURITY.md")
    assert "private vulnerability reporting" in text and "## Supported versions" in text and "## In scope" in text
    assert not re.search(r"\S@\S|https?://", text)


# --- Coverage ---------------------------------------------------------------------------------------------------------


def test_coverage__by_package__is_rounded_down_and_summed() -> None:
    files = {"a/x.py": Branches(949, 950), "a/b/y.py": Branches(0, 50), "c/z.py": Branches(0, 0)}
    sums = coverage_report.by_package(files)
    assert {name: str(branches) for name, branches in sums.items()} == {
        "a": "94.9 % of 1000 branches",
        "c": "100.0 % of 0 branches",
    }
    assert sums["a"].share < 95


@pytest.mark.parametrize(("least", "code"), [(50, 0), (51, 1)])
def test_coverage__report__says_the_share_and_refuses_less_than_is_wanted(
    least: int, code: int, tmp_path: Path
) -> None:
    (tmp_path / "accounts").mkdir()
    half = "if __name__:\n    pass\nif not __file__:\n    pass\n"
    (tmp_path / "accounts/half.py").write_text(half, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        "[tool.coverage.run]\nbranch = true\nparallel = true\nsource = ['accounts']\n"
        f"[tool.coverage.report]\nfail_under = {least}\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("-m", "coverage", "run", "accounts/half.py").returncode == 0
    done = run(str(ROOT / "scripts/coverage_report.py"))
    assert "Coverage of accounts: 50.0 % of 4 branches" in done.stdout, done.stdout + done.stderr
    assert (done.returncode, "fewer than" in done.stderr) == (code, code == 1)


def test_coverage__what_is_not_measured__is_there() -> None:
    tests = ROOT / "tests"
    modules = {path.stem for path in tests.rglob("test_*.py")}
    assert modules >= measuring.UNMEASURED
    assert all(any(tests.rglob(f"{folder}/")) for folder in measuring.UNMEASURED_FOLDERS)

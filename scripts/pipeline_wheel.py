"""Builds a wheel of the pipeline alone, without Django and the portal: `make pipeline-wheel` runs this.

It has `consent.pipeline`, and of the portal only what that needs: the rules, and the proofs of the log. Prints the
wheel's path.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("consent/__init__.py", "consent/rules.py", *sorted(
    str(path.relative_to(ROOT)) for part in ("pipeline", "proofs") for path in (ROOT / "consent" / part).glob("*.py")
), "LICENSE", "NOTICE")  # fmt: skip
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "training-consent-pipeline"
version = "{version}"
description = "Filters training data by signed snapshots of consent, and opens only what may be used."
requires-python = ">=3.11"
license = "Apache-2.0"
license-files = ["LICENSE", "NOTICE"]
dependencies = {dependencies}

[project.scripts]
consent-pipeline = "consent.pipeline.cli:main"

[tool.setuptools]
packages = ["consent", "consent.pipeline", "consent.proofs"]
"""


def dependencies() -> list[str]:
    """The pins of requirements/pipeline.in, as the least versions."""
    lines = (ROOT / "requirements" / "pipeline.in").read_text("utf-8").splitlines()
    return [line.replace("==", ">=") for line in lines if line and not line.startswith("#")]


def build(folder: Path, version: str) -> Path:
    """Build the wheel into the folder; returns its path."""
    with tempfile.TemporaryDirectory(prefix="pipeline-wheel-") as name:
        staged = Path(name)
        for part in PARTS:
            (staged / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / part, staged / part)
        project = PROJECT.format(version=version, dependencies=dependencies())
        (staged / "pyproject.toml").write_text(project, "utf-8")
        command = [
            "-m",
            "pip",
            "wheel",
            "--disable-pip-version-check",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(folder),
        ]
        subprocess.run([sys.executable, *command, str(staged)], check=True)
    return folder / f"training_consent_pipeline-{version}-py3-none-any.whl"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "dist")
    parser.add_argument("--version", default="0.1.0")
    given = parser.parse_args()
    print(build(given.folder, given.version))

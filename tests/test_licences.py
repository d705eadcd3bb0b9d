"""Every dependency has a licence that is compatible with the portal's own, Apache-2.0."""

import json
import re
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).parents[1]
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "ISC", "MIT", "MIT-0", "PSF-2.0", "Unlicense",
}  # fmt: skip
# Copyleft of their own files alone: used as they are, they ask nothing of the code that imports them.
PER_FILE = {"MPL-2.0"}
# What is part of the running portal and no more than LGPL: the reason why it fits.
LIBRARIES = {
    "psycopg": "LGPL-3.0-only: imported as published, unchanged, and replaceable by whoever runs the portal",
    "psycopg-binary": "LGPL-3.0-only: the compiled part of psycopg, likewise",
}
# What only development runs, as a program of its own; nothing of the portal imports or ships it.
PROGRAMS = {"djlint": "GPL-3.0-or-later: reads templates, called by `make check` and `make format`"}
# Metadata that names no licence, or more than one text; read from the licence that the distribution contains.
READ_BY_HAND = {
    "axe-playwright-python": "MIT",
    "fido2": "BSD-2-Clause AND Apache-2.0 AND MPL-2.0",
    "qrcode": "BSD-3-Clause AND MIT",
}
# What older metadata says instead of an SPDX expression.
WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD 3-Clause OR Apache-2.0": "BSD-3-Clause OR Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(path: str) -> set[str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return {normal(name) for name in found}


INSTALLED = {normal(each.metadata["Name"]) for each in distributions()}
# Lists are for every platform; what is for another one is not installed here.
DEVELOPMENT = sorted(listed("requirements/dev.txt") & INSTALLED)
RUN = listed("requirements/production.txt")


def licence(found: Distribution) -> str:
    """As an SPDX expression where the metadata allows it, else what it says; empty where it says nothing."""
    if by_hand := READ_BY_HAND.get(normal(found.metadata["Name"])):
        return by_hand
    if expression := found.metadata.get("License-Expression"):
        return str(expression)
    said = str(found.metadata.get("License") or "")
    classifiers = [
        each.split(" :: ")[-1] for each in found.metadata.get_all("Classifier") or [] if each.startswith("License ::")
    ]
    # A whole licence text, or nothing, in the field: the classifiers say it shortly.
    if not said or (" " in said and said not in WORDS and classifiers):
        return " AND ".join(WORDS.get(each, each) for each in classifiers)
    return WORDS.get(said, said)


def fits(expression: str, allowed: set[str]) -> bool:
    """Of alternatives one is enough; of what applies together all of it. An unknown licence fits nothing."""
    while inner := re.search(r"\(([^()]*)\)", expression):
        outcome = min(allowed) if fits(inner[1], allowed) else "refused"
        expression = expression.replace(inner[0], outcome)
    alternatives = [alternative.split(" AND ") for alternative in expression.split(" OR ")]
    return any(all(part.strip() in allowed for part in parts) for parts in alternatives)


@pytest.mark.parametrize("name", DEVELOPMENT)
def test_dependency__its_licence__fits(name: str) -> None:
    found = licence(distribution(name))
    allowed = PERMISSIVE | PER_FILE
    reasons = LIBRARIES if name in RUN else LIBRARIES | PROGRAMS
    if name in reasons:
        allowed = allowed | {reasons[name].partition(":")[0]}
    assert fits(found, allowed), f"{name}: {found or 'no licence in its metadata'}"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("MIT AND (PSF-2.0 OR GPL-3.0-only)", True),
        ("BSD-3-Clause OR GPL-2.0-only", True),
        ("GPL-3.0-only", False),
        ("MIT AND AGPL-3.0-or-later", False),
        ("LGPL-3.0-only", False),  # only by name, with a reason
        ("(GPL-2.0-only OR GPL-3.0-only) AND MIT", False),
        ("Proprietary and secret", False),
        ("", False),
    ],
)
def test_licence__what_fits_and_what_does_not(expression: str, expected: bool) -> None:
    assert fits(expression, PERMISSIVE | PER_FILE) is expected


def test_exceptions__name_only_what_is_used_and_needs_them() -> None:
    assert set(LIBRARIES) <= RUN
    assert set(PROGRAMS) & RUN == set()
    assert set(LIBRARIES) | set(PROGRAMS) | set(READ_BY_HAND) <= listed("requirements/dev.txt")
    for name in (LIBRARIES | PROGRAMS).keys() & INSTALLED:
        assert not fits(licence(distribution(name)), PERMISSIVE | PER_FILE), f"{name} needs no exception"


def test_licence_and_notice__are_there_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n" in text and "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text and "9. Accepting Warranty or Additional Liability" in text
    assert "Copyright 2026 the project's authors" in text
    assert "belong to their owners" in (ROOT / "NOTICE").read_text(encoding="utf-8")


def test_licence__wherever_a_machine_reads_it__is_the_one_of_the_file() -> None:
    packages = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    described = settings.SPECTACULAR_SETTINGS["LICENSE"]
    assert (packages["license"], described["identifier"]) == ("Apache-2.0", "Apache-2.0")
    assert described["name"] in (ROOT / "README.md").read_text(encoding="utf-8")

"""R16 in thousands of histories of a rough model: nothing denied becomes allowed; without any one rule, it does."""

import os
import random

import pytest

from tests.consent.core.rough_names import Rules, loosens

HISTORIES = 10_000 if os.environ.get("SOAK") else 2_000


def loosened(**twin: bool) -> int:
    return sum(loosens(Rules(**twin), random.Random(seed)) for seed in range(HISTORIES))  # noqa: S311


@pytest.mark.slow
def test_ids__by_the_rules__nothing_denied_becomes_used_in_any_history() -> None:
    assert loosened() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "twin",
    [
        {"attests_freely": True},
        {"undoes_to_the_old_dating": True},
        {"gives_freely": True, "keeps_the_id": True},
    ],
    ids="+".join,
)
def test_ids__without_a_rule__loosened(twin: dict[str, bool]) -> None:
    assert loosened(**twin) > HISTORIES / 200

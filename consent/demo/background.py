"""The demo's background: organizations that are created, choose and change plans over two years, to fill the charts.

They come from a seeded random generator, so names, plans and days are the same in every installation.
"""

import dataclasses
import random

SEED = 1814
YEARS = 728  # days
_FIRST = (
    "Amber", "Birch", "Cobalt", "Delta", "Ember", "Fjord", "Garnet", "Harbour", "Indigo", "Jasper", "Kestrel", "Larch",
    "Maple", "North", "Opal", "Pebble", "Quarry", "River", "Saffron", "Tundra",
)  # fmt: skip
_SECOND = ("Analytics", "Press", "Clinic", "Freight", "Schools", "Legal")
_PEOPLE = (
    "Alma Ruiz", "Björn Lund", "Chidi Eze", "Dana Weiss", "Emre Aydın", "Fatou Diop", "Gus Hale", "Hana Mori",
    "Ivo Kralj", "Joan Prat", "Kofi Mensah", "Lea Roth", "Milo Costa", "Nora Dahl", "Omar Saleh", "Pia Holm",
    "Quinn Ward", "Rosa Lima", "Sven Falk", "Tara Singh", "Ugo Ricci", "Vera Popov", "Wim Bakker", "Yara Nasser",
)  # fmt: skip
_COUNTRIES = ("FR", "DE", "GB", "ES", "IT", "NL", "SE", "US", "BR", "JP")
_LE_CHAT = ("le_chat_free", "le_chat_pro", "le_chat_teams", "le_chat_enterprise")
_AI_STUDIO = ("ai_studio_experiment", "ai_studio_scale", "")


@dataclasses.dataclass(frozen=True)
class SyntheticOrganization:
    """An organization to create: when, on which plans, and when it chooses or changes its plan (None: never).

    `days_ago`, `opts_out` and `opts_in` are days before today; `moves` is (days before today, key of the new plan).
    """

    name: str
    external_id: str
    country: str
    owner: str
    personal: bool
    plans: tuple[str, ...]
    days_ago: int
    opts_out: int | None
    opts_in: int | None
    moves: tuple[int, str] | None


def synthetic_organizations() -> list[SyntheticOrganization]:
    """All background organizations, the one created first in front."""
    chance = random.Random(SEED)  # noqa: S311  nothing is secret here
    # The order of the calls decides what each gets from the generator, so do not change it.
    made = [_team(chance, number) for number in range(60)] + [_person(chance, name) for name in _PEOPLE]
    return sorted(made, key=lambda one: -one.days_ago)


def _team(chance: random.Random, number: int) -> SyntheticOrganization:
    name = f"{_FIRST[number % len(_FIRST)]} {_SECOND[number % len(_SECOND)]}"
    external_id = f"{name.replace(' ', '-').lower()}-{number}"
    plan, api = chance.choice(_LE_CHAT), chance.choice(_AI_STUDIO)
    came = chance.randrange(30, YEARS - 10)
    moves = None
    if chance.random() < 0.35:
        other = chance.choice([each for each in _LE_CHAT if each != plan])
        moves = (chance.randrange(5, came), other)
    return SyntheticOrganization(
        name=f"{name}" if number < len(_FIRST) else f"{name} {_ROMAN[number // len(_FIRST)]}",
        external_id=external_id,
        country=chance.choice(_COUNTRIES),
        owner=chance.choice(_PEOPLE),
        personal=False,
        plans=tuple(each for each in (plan, api) if each),
        days_ago=came,
        opts_out=chance.randrange(2, came) if chance.random() < 0.4 else None,
        opts_in=chance.randrange(1, came) if chance.random() < 0.12 else None,
        moves=moves,
    )


_ROMAN = ("", "II", "III")


def _person(chance: random.Random, name: str) -> SyntheticOrganization:
    came = chance.randrange(20, YEARS - 5)
    return SyntheticOrganization(
        name=name,
        external_id=name.split()[1].lower(),
        country=chance.choice(_COUNTRIES),
        owner=name,
        personal=True,
        plans=(chance.choice(("le_chat_free", "le_chat_pro", "le_chat_student")),),
        days_ago=came,
        opts_out=chance.randrange(1, came) if chance.random() < 0.3 else None,
        opts_in=None,
        moves=None,
    )

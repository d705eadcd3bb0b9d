"""Paths that name nothing, and bodies that leave out which organization is meant."""

import uuid

import pytest

from accounts.access import Actor
from accounts.models import ApiKey
from consent.models import WebhookEndpoint
from tests.support.callers import World, assert_problem, state
from tests.support.factories import MemberFactory

pytestmark = pytest.mark.django_db
NOBODY = [str(uuid.UUID(int=7)), uuid.UUID(int=7).hex, "external:nobody", "nonsense", "-"]


@pytest.mark.parametrize("ident", NOBODY)
def test_path__that_names_nothing__404_and_nothing_changes(ident: str, world: World) -> None:
    before = state()
    for path in (
        f"api-keys/{ident}/",
        f"webhooks/{ident}/",
        f"bulk-jobs/{ident}/",
        f"{world.labs}invitations/{ident}/",
    ):
        assert_problem(world.operator.get(path), 404, "not_found")
    for path in (f"api-keys/{ident}/", f"webhooks/{ident}/", f"{world.labs}invitations/{ident}/"):
        assert_problem(world.operator.delete(path), 404, "not_found")
    assert state() == before


BODIES = {
    "api-keys/": {"name": "Own", "scopes": ["decisions:read"]},
    "webhooks/": {"description": "Own", "url": "https://hooks.kvasir.example/"},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("manages", [0, 1, 2])
def test_made__organization_left_out__only_where_there_is_one(path: str, manages: int, world: World) -> None:
    role = "member" if manages == 0 else "owner"
    if manages == 2:
        provider: Actor = world.cast.provider
        MemberFactory(organization=world.cast.brage, user=world.cast.owner, role="admin", actor=provider)
    answer = world.callers[role].post(path, BODIES[path])
    made = [*ApiKey.objects.filter(name="Own"), *WebhookEndpoint.objects.filter(description="Own")]
    if manages == 1:
        assert answer.status_code == 201
        assert [each.organization for each in made] == [world.cast.labs]
    else:
        assert_problem(answer, 403, "forbidden")
        assert made == []

"""The console's URLs × roles × methods, each with its exact status; a refusal leaves the database unchanged."""

import pytest
from django.db import transaction
from django.test import Client
from django.urls import get_resolver, reverse

from accounts.models import Member
from consent.console.urls import urlpatterns
from consent.models import ConsentEvent
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.console import opted_out_by_owner, signed_in
from tests.support.ledger_guards import everything

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]

ROLES = ("anonymous", "owner", "admin", "auditor", "member", "outsider", "operator")
READERS = "302 200 200 200 403 404 200"
CHOOSERS = "302 302 302 403 403 404 302"
MANAGERS = "302 200 200 403 403 404 200"
EVERYBODY = "200 200 200 200 200 200 200"
SIGNED_IN = "302 200 200 200 200 200 200"
REDIRECTED = "302 302 302 302 302 302 302"
NEVER = "405 405 405 405 405 405 405"
OUT = {"choice": "opted_out"}

# Name of the URL → (GET, POST, what is posted).
MATRIX: dict[str, tuple[str, str, dict[str, str]]] = {
    #                      anon own adm aud mem out op
    "home": (REDIRECTED, NEVER, {}),
    "organizations": (SIGNED_IN, NEVER, {}),
    "console:overview": (READERS, NEVER, {}),
    "console:le-chat": (READERS, CHOOSERS, OUT),
    "console:privacy": (READERS, CHOOSERS, OUT),
    "console:members": (
        READERS,
        "302 302 302 403 403 404 302",
        {"do": "invite", "email": "new@kvasir.example", "role": "member"},
    ),
    "console:history": (READERS, NEVER, {}),
    "console:history-export": (READERS, NEVER, {}),
    "console:way": (READERS, NEVER, {}),
    # The plain member's: nobody else's to see.
    "console:own-way": ("302 404 404 404 200 404 404", NEVER, {}),
    "console:statement": (READERS, NEVER, {}),
    # An operator who is no member has nothing to have seen.
    "console:seen": (NEVER, "302 302 302 302 403 404 404", {"position": "1"}),
    "console:settings": (MANAGERS, CHOOSERS, {"do": "create", "name": "key", "scopes": "decisions:read"}),
    "console:webhooks": (MANAGERS, CHOOSERS, {"do": "create", "url": "https://hooks.example.com/"}),
    "console:own-settings": (SIGNED_IN, NEVER, {}),
    "console:account": (SIGNED_IN, NEVER, {}),
    "console:profile": (SIGNED_IN, REDIRECTED, {}),
    "console:notifications": (SIGNED_IN, REDIRECTED, {}),
    "console:opt-out-help": (EVERYBODY, NEVER, {}),
    "console:verify": (EVERYBODY, NEVER, {}),
    # Without a log there are none; who gets them with one is tested where they are.
    "console:receipt": ("302 404 404 404 404 404 404", NEVER, {}),
    "console:receipt-file": ("302 404 404 404 404 404 404", NEVER, {}),
    "console:words": (SIGNED_IN, NEVER, {}),
    "console:data-controls": (SIGNED_IN, NEVER, {}),
    # Of one's own membership alone.
    "console:own-why": ("302 404 404 404 200 404 404", NEVER, {}),
    "console:my-choices": (SIGNED_IN, NEVER, {}),
    "console:opt-out-everywhere": (NEVER, REDIRECTED, {}),
    # The plain member's: nobody else's to change, whatever their role.
    "console:data-sharing": (NEVER, "302 404 404 404 302 404 404", OUT),
}
# Whoever takes a file away leaves an access event.
FILES = {"console:history-export", "console:my-choices"}
OF_ORGANIZATION = [n for n, row in MATRIX.items() if READERS in row or MANAGERS in row or n == "console:seen"]


# For programs; the permission matrix has them.
APART = {"invitation", "set_language", "favicon", "healthz", "readyz", "metrics", "schema", "docs"}
APART |= {"authzen-evaluation", "authzen-evaluations", "authzen-configuration"}
APART |= {"log-about", "log-checkpoint", "log-tile", "log-origin-checkpoint", "log-origin-tile"}


def test_console_matrix__every_named_url__stands_in_it() -> None:
    pages = {f"console:{pattern.name}" for pattern in urlpatterns}
    top = {pattern.name for pattern in get_resolver().url_patterns if getattr(pattern, "name", None)}
    assert set(MATRIX) == pages | top - APART


def path_of(name: str, cast: Cast, organization: object = None) -> str:
    if name in OF_ORGANIZATION:
        more = {"console:history-export": ["csv"], "console:way": [number_of(cast, None)]}.get(name, [])
        return reverse(name, args=[organization or cast.labs.pk, *more])
    own = {"console:data-sharing": [cast.labs_member.pk], "console:own-way": [number_of(cast, cast.labs_member)]}
    own |= {"console:receipt": [number_of(cast, None)], "console:receipt-file": [number_of(cast, None), "json"]}
    own |= {"console:own-why": [cast.labs_member.pk], "console:words": LE_CHAT_CONSOLE.wording.split("/")}
    return reverse(name, args=own.get(name, []))


def number_of(cast: Cast, member: Member | None) -> int:
    """The number of the opt-out of the organization, or of its member; 1 if there is none."""
    events = ConsentEvent.objects.filter(organization=cast.labs, member=member, kind="choice.opted_out")
    return events.values_list("pk", flat=True).first() or 1


def prepare(name: str, cast: Cast) -> None:
    if name == "console:way":
        opted_out_by_owner(cast)
    if name == "console:own-way":
        opt_out_as_member(cast)


def client_of(cast: Cast, role: str) -> Client:
    return Client() if role == "anonymous" else signed_in(cast, role)


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("method", ["get", "post"])
def test_console_matrix__each_role__gets_its_status_and_a_refusal_changes_nothing(
    name: str, method: str, cast: Cast
) -> None:
    on_get, on_post, body = MATRIX[name]
    prepare(name, cast)
    clients = {role: client_of(cast, role) for role in ROLES}
    before, found = everything(), []
    for role, client in clients.items():
        with transaction.atomic():
            response = getattr(client, method)(path_of(name, cast), body if method == "post" else {})
            found.append(response.status_code)
            b"".join(response) if response.streaming else response.content
            reads = method == "get" and not (name in FILES and response.status_code == 200)
            if reads or response.status_code >= 400 or role == "anonymous":
                assert everything() == before, f"{role} changed something"
            transaction.set_rollback(True)
    assert " ".join(map(str, found)) == (on_get if method == "get" else on_post)


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_console_matrix__methods_of_no_form__405(name: str, method: str, cast: Cast) -> None:
    client = signed_in(cast, "owner")
    before = everything()
    assert getattr(client, method)(path_of(name, cast)).status_code == 405
    assert everything() == before


@pytest.mark.parametrize("name", OF_ORGANIZATION)
def test_console_matrix__absent_and_foreign__are_indistinguishable(name: str, cast: Cast) -> None:
    client = signed_in(cast, "outsider")
    idents = (cast.labs.pk, "01890000-0000-7000-8000-000000000000", "external:nobody", "nonsense")
    allowed = [each for each, row in zip((client.get, client.post), MATRIX[name], strict=False) if row != NEVER]
    for send in allowed:
        answers = [send(path_of(name, cast, ident), OUT) for ident in idents]
        assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}

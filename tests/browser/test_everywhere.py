"""Every page for every kind of user: reachable by links, complete, without console errors and findings of axe."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from axe_playwright_python.sync_playwright import Axe
from django.contrib import admin
from django.test import Client
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone
from django.utils.translation import override
from playwright.sync_api import Page

from accounts.access import Actor
from consent import ledger, worker
from consent.console.urls import urlpatterns
from consent.imports import reading
from consent.imports.parsing import ImportPlan
from consent.jobs import actions
from consent.jobs.selection import Selection
from consent.services import choices, consumers, invitations, locks, members, webhooks
from consent.surfaces import LE_CHAT_CONSOLE, NOT_STATED, Shown
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.pages import as_person
from tests.support import cast as casting
from tests.support import log
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, UserFactory
from tests.support.keys import issue_key

pytestmark = pytest.mark.django_db(transaction=True)

PERSONS = ("anonymous", "owner", "admin", "auditor", "member", "outsider", "operator")
LANGUAGES, SCHEMES, WIDTHS = ("en", "fr"), ("light", "dark"), (DESKTOP, PHONE)
# Every pair of language, scheme and width once in four; `make axe` takes all eight.
PAIRWISE = [("en", "light", DESKTOP), ("en", "dark", PHONE), ("fr", "light", PHONE), ("fr", "dark", DESKTOP)]
EVERY = [(language, scheme, width) for language in LANGUAGES for scheme in SCHEMES for width in WIDTHS]
# Links with a query are filters and further pages of the same list: one of each list stands for all.
_SAME = 3
_NUMBERED = ("console:history-export", "console:way", "console:own-way", "console:receipt", "console:receipt-file")
_NUMBERED += ("console:own-why", "console:words")
# Pages about one thing of which this world has one: whoever finds it by links is shown it.
_ABOUT_ONE = {
    "owner": {"console:receipt", "console:own-why", "console:words", "console:way"},
    "operator": {"console:receipt", "console:words", "admin:wording"},
}
_FORMS = ("console:opt-out-everywhere", "console:data-sharing")
_FILES = ("console:history-export", "console:receipt-file", "console:my-choices", "admin:consent_bulkjob_file")


@pytest.fixture
def world(transactional_db: None) -> Iterator[Cast]:
    """A cast to whom something of everything has happened, in an installation with a log."""
    with log.kept():
        yield _world()


def _world() -> Cast:
    cast = casting.make()
    operator, owner = cast.provider, Actor.from_user(cast.owner, confirmed=True)
    how = {"actor": operator, "source": "admin"}
    locks.place_lock(organization=cast.brage, product="le_chat", reason="law", reference="§ 1", **how)
    consumers.register(name="builder", purpose="Builds", contact="x", expected_lag_minutes=1, datasets=["a"], **how)
    for choice, wording in (
        ("opted_out", "le_chat_console/2"),
        ("opted_in", LE_CHAT_CONSOLE.wording),
        ("opted_out", ""),
    ):
        choices.choose(
            surface=LE_CHAT_CONSOLE, organization=cast.labs, choice=choice, actor=owner, source="console",
            shown=Shown(wording, "en") if wording else NOT_STATED, version_required=False,
        )  # fmt: skip
    invitations.invite(
        source="console",
        organization=cast.labs,
        email="new@kvasir.example",
        role="member",
        actor=owner,
        link=str,
    )
    for organization in (cast.labs, None):
        actor = owner if organization else operator
        webhooks.create_endpoint(
            source="admin", organization=organization, url="https://hooks.example.com/", actor=actor
        )
        issue_key("sync", ["consent:read"], organization=organization, issued_by=actor.user)
    MemberFactory(organization=cast.brage, user=cast.owner, role="admin", actor=operator)
    third = UserFactory(email="tor@kvasir.example", name="Tor Left")
    members.remove_member(member=MemberFactory(organization=cast.labs, user=third, actor=operator), **how)
    TOTP.activate(cast.admin, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    _jobs(cast)
    while worker.work_once():
        pass
    ledger.sequence()
    log.step()
    return cast


def _jobs(cast: Cast) -> None:
    """One in each state that looks different."""
    wish = {"surface": LE_CHAT_CONSOLE, "reason": "as agreed", "actor": cast.provider, "source": "admin"}
    everything = Selection(everything=True)
    actions.preview_choice(selection=everything, choice="opted_out", **wish)
    waiting = actions.preview_choice(selection=everything, choice="opted_in", **wish)
    actions.submit(job=waiting, actor=cast.provider, digest=waiting.digest)
    done = actions.preview_choice(selection=everything, choice="opted_out", **wish)
    actions.submit(job=done, actor=cast.provider, digest=done.digest)
    text = b"Name,Id,Training\nHall A,a,opted_out\nHall B,b,perhaps\n"
    file = reading.upload(table="organizations", name="halls.csv", data=[text], actor=cast.provider)
    columns = {"name": "Name", "external_id": "Id", "choice": "Training"}
    plan = ImportPlan("organizations", columns, ("le_chat_free",))
    reading.prepare(plan=plan, actor=cast.provider, source="admin", name=file.name, **{reading.FILE: str(file.pk)})


def name_of(path: str) -> str:
    try:
        return resolve(path).view_name
    except Resolver404:
        return path


def crawl(page: Page, visit: Callable[[str], None]) -> dict[str, str]:
    """Follow every link from `/`; returns view name → one path of it, of all that was reached."""
    seen: Counter[tuple[str, bool]] = Counter()
    done, waiting, reached = set(), ["/"], {}
    while waiting:
        address = waiting.pop(0)
        parts = urlsplit(address)
        key = name_of(parts.path), bool(parts.query)
        if address in done or seen[key] >= (1 if parts.query else _SAME) or parts.path.startswith("/static/"):
            continue
        done.add(address)
        seen[key] += 1
        reached.setdefault(key[0], address)
        if key[0] in _FILES:
            assert page.request.get(address).status == 200, address
            continue
        visit(address)
        reached.setdefault(name_of(urlsplit(page.url).path), page.url)
        found = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
        base = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
        waiting += [url.removeprefix(base).partition("#")[0] for url in found if url.startswith(base)]
    return reached


def may_see(cast: Cast, person: str) -> dict[str, bool]:
    """Page → whether the server lets this person see it, of all pages that have no id but the organization's."""
    client = Client()
    if person != "anonymous":
        client.force_login(getattr(cast, person))
    own = cast.brage if person == "outsider" else cast.labs
    names = {f"console:{each.name}": each for each in urlpatterns}
    paths = {}
    for name, each in names.items():
        if name in (*_FORMS, *_NUMBERED):
            continue  # forms, files, and pages with numbers of their own
        paths[name] = reverse(name, args=[own.pk] if "org" in each.pattern.regex.groupindex else [])
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        paths[name] = reverse(name)
    others = ("index", "bulk", "import", "why", "wordings", "products")
    for name in (*(f"admin:{each}" for each in others), "mfa_index", "usersessions_list"):
        paths[name] = reverse(name)
    return {name: client.get(path).status_code == 200 for name, path in paths.items()}


@pytest.mark.parametrize("person", PERSONS)
def test_crawl__everything_one_may_see__and_nothing_else(
    person: str, world: Cast, open_page: Callable[..., Page]
) -> None:
    page = as_person(open_page, world, person)
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(f"{line.text} {line.location}") if line.type == "error" else None)

    def visit(address: str) -> None:
        answer = page.goto(address)
        assert answer is not None and answer.status == 200, f"{address}: {answer and answer.status}"

    reached = crawl(page, visit)
    expected = may_see(world, person)
    assert {name for name, may in expected.items() if may} <= set(reached)
    assert _ABOUT_ONE.get(person, set()) <= set(reached)
    assert not {name for name, may in expected.items() if not may} & set(reached)
    assert complaints == []


@pytest.mark.parametrize("person", ["anonymous", "owner", "operator"])
def test_axe__every_page__nothing_found_and_nothing_too_wide(
    person: str, world: Cast, open_page: Callable[..., Page]
) -> None:
    addresses = crawl(page := as_person(open_page, world, person), page.goto)
    every = EVERY if os.environ.get("AXE") == "all" else None
    # Who has lost the way gets a page too.
    addresses |= {"404": "/nothing/here/", "invitation": "/invitations/nonsense/"}
    if person == "operator":  # a form leads to these
        addresses |= {
            "found": "/admin/search/?q=kvasir",
            "people": "/admin/search/?q=dag@",
            "none": "/admin/search/?q=x",
            "lost words": "/admin/wordings/le_chat_console/2/",
        }
    if person == "owner":
        addresses |= {
            "why, a day": f"{addresses['console:own-why']}?day={timezone.localdate()}",
            "why, no day": f"{addresses['console:own-why']}?day=x",
            "lost words": "/words/le_chat_console/2/",
            "words in French": f"/words/{LE_CHAT_CONSOLE.wording}/?language=fr",
        }
    looks: dict[tuple[str, str, int], Page] = {}
    problems = []
    for number, (name, address) in enumerate(sorted(addresses.items())):
        if name in _FILES:
            continue
        for language, scheme, width in every or [PAIRWISE[number % len(PAIRWISE)]]:
            key = language, scheme, width["width"]
            if key not in looks:
                # axe adds styles of its own, so it looks at pages on which the policy is not enforced.
                options = {"viewport": width, "color_scheme": scheme, "locale": language, "bypass_csp": True}
                looks[key] = as_person(open_page, world, person, **options)
            problems += [f"{address} {key} {problem}" for problem in problems_of(looks[key], address, language)]
    assert problems == []


def problems_of(page: Page, address: str, language: str) -> list[str]:
    page.goto(address)
    found = [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in Axe().run(page).response["violations"]]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("is too wide")
    if page.evaluate("document.documentElement.lang") != language:
        found.append("is in another language")
    return found


def test_language__switched__is_kept(world: Cast, open_page: Callable[..., Page]) -> None:
    page = as_person(open_page, world, "owner")
    page.goto(f"/o/{world.labs.pk}/le-chat/")
    page.get_by_text("Your account: Ada").click()
    page.get_by_role("button", name="Français").click()
    assert page.url.endswith("/le-chat/")
    with override("fr"):
        assert page.evaluate("document.documentElement.lang") == "fr"
    page.goto("/settings/data-controls/")
    assert page.evaluate("document.documentElement.lang") == "fr"

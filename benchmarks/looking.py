"""The steps of `benchmarks.pages`: python -m benchmarks.looking rollup|pages. Prints one line of JSON."""

import json
import os
import statistics
import sys
import time
from typing import Any

import django
from django.conf import settings

from .load import OPERATORS

TIMES = 7


def rollup() -> dict[str, Any]:
    from consent import ledger
    from consent.projections import runner

    begun = time.monotonic()
    for name in runner.FOLLOWERS:
        runner.catch_up(name)
    return {"events": ledger.head(), "seconds": round(time.monotonic() - begun, 1)}


def pages() -> dict[str, Any]:
    """Page → milliseconds (median of TIMES requests after a first one) and number of queries."""
    from django.test import Client

    from accounts.models import Member, Organization, User

    settings.ALLOWED_HOSTS = ["testserver"]
    settings.REQUIRE_MFA = False
    # An organization from the middle of the table, neither the first nor the last in any index.
    middle = f"account-{Organization.objects.count() // 2}"
    owner = Member.objects.filter(role="owner", organization__external_id=middle).select_related("user").get()
    found = {}
    for person, paths in ((User.objects.get(email=OPERATORS[0]), _operators(owner)), (owner.user, _owners(owner))):
        client = Client()
        client.force_login(person)
        for name, path in paths.items():
            found[name] = _look(client, path)
    return found


def _look(client: Any, path: str) -> dict[str, float]:
    from django.db import connection

    queries = []

    def noting(execute: Any, sql: str, *rest: Any) -> Any:
        queries.append(sql)
        return execute(sql, *rest)

    # The first request counts the queries and fills caches; only those after it are timed.
    with connection.execute_wrapper(noting):
        status = client.get(path).status_code
    if status != 200:
        raise RuntimeError(f"{path} was answered with {status}")
    taken = []
    for _time in range(TIMES):
        begun = time.perf_counter()
        client.get(path)
        taken.append(time.perf_counter() - begun)
    return {"ms": statistics.median(taken) * 1000, "queries": len(queries)}


def _operators(owner: Any) -> dict[str, str]:
    from django.apps import apps
    from django.contrib import admin
    from django.urls import reverse

    found = {"dashboard": reverse("admin:index")}
    for model in filter(admin.site.is_registered, apps.get_models()):
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        found[f"list: {model._meta.verbose_name_plural}"] = reverse(f"admin:{name}_changelist")
    organizations, users = reverse("admin:accounts_organization_changelist"), reverse("admin:accounts_user_changelist")
    found["organizations, by start of name"] = f"{organizations}?q=organization+12"
    # “Organization 123” is what they are called, so that one of these words is everywhere.
    found["organizations, by words of a name"] = f"{organizations}?q=12+organization"
    search = reverse("admin:search")
    found["search: a word that all names have"] = f"{search}?q=organization"
    found["search: the end of a name"] = f"{search}?q={owner.organization.name.split()[-1]}"
    found["search: nothing"] = f"{search}?q=organization+nobody"
    found["search: the start of an address"] = f"{search}?q={owner.user.email[:6]}"
    found["organizations, by external id"] = f"{organizations}?q=account-77"
    found["organizations, of a kind"] = f"{organizations}?kind=team"
    found["people, by e-mail"] = f"{users}?q={owner.user.email}"
    found["organization"] = reverse("admin:accounts_organization_change", args=[owner.organization_id])
    return found


def _owners(owner: Any) -> dict[str, str]:
    from django.urls import reverse

    base = reverse("console:overview", args=[owner.organization_id])
    found = {f"console: {name or 'overview'}": f"{base}{name}" for name in ("", "le-chat/", "members/", "history/")}
    return {**found, "data controls": reverse("console:data-controls")}


if __name__ == "__main__":
    os.environ["DEBUG"] = "true"  # only while settings load: static files without collectstatic
    django.setup()
    # With DEBUG, Django would record every query, which costs time and memory.
    settings.DEBUG = False
    print(json.dumps({"rollup": rollup, "pages": pages}[sys.argv[1]]()))

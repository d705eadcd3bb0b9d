"""The organization's webhooks: the list with recent delivery attempts, and their actions."""

import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from accounts import shown_once
from accounts.access import Actor, NotFound, Permission
from accounts.fields import parse_id
from accounts.models import Organization

from ..errors import Refused, ServiceError
from ..models import EndpointStatus, Source, WebhookAttempt, WebhookEndpoint
from ..presentation import consequences
from ..presentation.asking import Asked, once_confirmed
from ..services import webhooks as service
from ..webhooks.secrets import secret_of
from .asked import ask
from .pages import organization_page, page

_ATTEMPTS = 5
_NEW = "new"  # parameter: the id of the webhook whose signing secret is shown


class EndpointForm(forms.Form):
    url = forms.CharField(label=_("Address"), max_length=500, help_text=_("Like https://example.com/hook."))
    description = forms.CharField(label=_("Description"), max_length=200, required=False)


@require_http_methods(["GET", "HEAD", "POST"])
@organization_page(Permission.WEBHOOKS_MANAGE)
def webhooks(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    """The list, with a form to add one. Each button posts an action (`do`) and the webhook that it is for."""
    if request.method != "POST":
        return _page(request, actor, organization)
    if request.POST.get("do") == "create":
        return _created(request, actor, organization)
    if request.POST.get("do") == "copied":
        shown_once.forget(request, request.GET.get(_NEW, ""))
        return redirect("console:webhooks", organization.pk)
    endpoint = _endpoint(organization, request.POST.get("webhook", ""))
    verb = request.POST.get("do", "")
    if verb not in _VERBS and verb not in _ASKED:
        return _page(request, actor, organization, status=400)
    try:
        done = once_confirmed(request, lambda: _ASKED[verb](endpoint, actor)) if verb in _ASKED else Asked()
        if verb in _VERBS:
            _VERBS[verb](request, actor, endpoint)
    except ServiceError as error:
        messages.error(request, str(error))
        return _page(request, actor, organization, status=error.http_status)
    if done.told is not None:
        return ask(request, actor, organization, done)
    if verb in _SECRETS:
        return _made(request, done.result)
    if verb == "delete":
        messages.success(request, gettext("The webhook is deleted."))
    return redirect("console:webhooks", organization.pk)


def _endpoint(organization: Organization, ident: str) -> WebhookEndpoint:
    pk = parse_id(ident)
    found = WebhookEndpoint.objects.filter(organization=organization, pk=pk).first() if pk else None
    if found is None:
        raise NotFound("webhook")
    return found


def _created(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    form = EndpointForm(request.POST, label_suffix="")
    if not form.is_valid():
        return _page(request, actor, organization, form=form, status=400)
    try:
        made = service.create_endpoint(
            source=Source.CONSOLE, organization=organization, actor=actor, **form.cleaned_data
        )
    except ServiceError as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return _page(request, actor, organization, form=form, status=error.http_status)
    return _made(request, made)


def _made(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    """Leads to the page that shows the signing secret: whoever loads it again makes no other one."""
    shown_once.keep(request, endpoint.pk, secret_of(endpoint))
    return redirect(f"{reverse('console:webhooks', args=[endpoint.organization_id])}?{_NEW}={endpoint.pk}")


def _pause(_request: HttpRequest, actor: Actor, endpoint: WebhookEndpoint) -> None:
    service.update_endpoint(source=Source.CONSOLE, endpoint=endpoint, actor=actor, status=EndpointStatus.PAUSED)


def _resume(_request: HttpRequest, actor: Actor, endpoint: WebhookEndpoint) -> None:
    service.update_endpoint(source=Source.CONSOLE, endpoint=endpoint, actor=actor, status=EndpointStatus.ACTIVE)


def _test(request: HttpRequest, actor: Actor, endpoint: WebhookEndpoint) -> None:
    try:
        service.request_test(endpoint=endpoint, actor=actor)
    except Refused as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, gettext("The test is on its way; its result will appear below."))


def _resend(request: HttpRequest, actor: Actor, endpoint: WebhookEndpoint) -> None:
    try:
        service.resend(endpoint=endpoint, attempt=request.POST.get("attempt", ""), actor=actor)
    except Refused as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, gettext("The message is on its way again; its result will appear below."))


_VERBS: dict[str, Callable[[HttpRequest, Actor, WebhookEndpoint], None]] = {
    "pause": _pause,
    "resume": _resume,
    "test": _test,
    "resend": _resend,
}


def _rotate(endpoint: WebhookEndpoint, actor: Actor) -> consequences.Told:
    run = partial(service.rotate_secret, source=Source.CONSOLE, endpoint=endpoint, actor=actor)
    return consequences.of_another_secret(run)


def _take_over(endpoint: WebhookEndpoint, actor: Actor) -> consequences.Told:
    run = partial(service.take_over, source=Source.CONSOLE, endpoint=endpoint, actor=actor)
    return consequences.of_taking_webhook_over(run)


def _delete(endpoint: WebhookEndpoint, actor: Actor) -> consequences.Told:
    run = partial(service.delete_endpoint, source=Source.CONSOLE, endpoint=endpoint, actor=actor)
    return consequences.of_deleting(endpoint, run)


# Actions that ask once before they are done.
_ASKED: dict[str, Callable[[WebhookEndpoint, Actor], consequences.Told]] = {
    "rotate": _rotate,
    "take-over": _take_over,
    "delete": _delete,
}
_SECRETS = ("rotate", "take-over")  # after which the new signing secret is shown, this once


def _page(
    request: HttpRequest,
    actor: Actor,
    organization: Organization,
    *,
    form: forms.Form | None = None,
    status: int = 200,
) -> HttpResponse:
    found = _with_attempts(organization)
    rows = [
        {"endpoint": endpoint, "attempts": attempts, "waiting": any(each.waiting for each in attempts)}
        for endpoint, attempts in found.items()
    ]
    context: dict[str, Any] = {
        "rows": rows,
        "form": form or EndpointForm(label_suffix=""),
        **_new(found, request),
    }
    return page(request, actor, "console/webhooks.html", context, organization=organization, status=status)


def _new(endpoints: Iterable[WebhookEndpoint], request: HttpRequest) -> dict[str, Any]:
    """The webhook whose new signing secret the page shows, and that secret, while it is the one in use."""
    shown = next((each for each in endpoints if str(each.pk) == request.GET.get(_NEW)), None)
    secret = shown_once.find(request, shown.pk) if shown else ""
    return {"shown": shown, "secret": secret} if shown and secret and secret == secret_of(shown) else {}


def _with_attempts(organization: Organization) -> dict[WebhookEndpoint, list[WebhookAttempt]]:
    """The organization's webhooks with the latest attempts of each, latest first; two queries, however many they are.

    The second reads by an index what is shown and nothing else; a window would number all attempts of a month.
    """
    earliest = WebhookAttempt.objects.filter(endpoint=OuterRef("pk")).values("pk")[_ATTEMPTS - 1 : _ATTEMPTS]
    endpoints = WebhookEndpoint.objects.filter(organization=organization).annotate(
        shown_from=Coalesce(Subquery(earliest), 0)  # 0 where there are fewer
    )
    found: dict[uuid.UUID, list[WebhookAttempt]] = {each.pk: [] for each in endpoints}
    if found:  # no condition would mean all attempts
        spans = [Q(endpoint=each, pk__gte=each.shown_from) for each in endpoints]  # type: ignore[attr-defined]
        for attempt in WebhookAttempt.objects.filter(Q(*spans, _connector=Q.OR)).order_by("-pk"):
            found[attempt.endpoint_id].append(attempt)
    return {each: found[each.pk][:_ATTEMPTS] for each in endpoints}  # some may have come in between

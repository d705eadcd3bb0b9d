"""Products: what data they hold, and how old it has to be before it is used, which operators set here."""

import dataclasses
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product

from ..models import MAX_DAYS, CoolingOff, OperatorRequest, RequestKind, Source
from ..presentation import actors, asking, consequences
from ..services import cooling_off, operator_requests
from ..surfaces import DATA_KINDS, WITH_MEMBERS
from .base import HistoryEntry, actor_of, run_service
from .forms import OperatorForm, reason_field
from .why_forms import KINDS

_SHOWN = 50


class DaysForm(OperatorForm):
    days = forms.IntegerField(
        label=_("Days"),
        min_value=0,
        max_value=MAX_DAYS,
        help_text=_("So many days old has data to be before it is used; 0: no cooling-off."),
    )
    reason = reason_field(help_text=_("Kept in the history. For fewer days it is needed: the other operator reads it."))


@dataclasses.dataclass(frozen=True)
class Shown:
    """A product as the pages show it; `in_words`: from when on its data is used."""

    product: Product
    days: int

    @property
    def kinds(self) -> list[Any]:
        return [KINDS[kind] for kind in DATA_KINDS[self.product]]

    @property
    def with_members(self) -> bool:
        return self.product in WITH_MEMBERS

    @property
    def in_words(self) -> str:
        return consequences.use_after(self.days)

    @property
    def url(self) -> str:
        return reverse("admin:product", args=[self.product.value])


def products(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    days = CoolingOff.objects.in_force()
    found = [Shown(product, days[product]) for product in Product]
    return _screen(site, request, "admin/products.html", {"products": found}, title=gettext("Products"))


def product(site: admin.AdminSite, request: HttpRequest, product: str) -> HttpResponse:
    """The product's page. A POST says what new days would do; once that is confirmed they are set, or asked for."""
    if product not in Product.values:
        raise Http404
    meant = Product(product)
    if request.method != "POST":
        return _page(site, request, meant)
    form = DaysForm(request.POST)
    done = run_service(form, lambda data: _change(request, meant, data))
    if not done.done:
        return _page(site, request, meant, form, done.status)
    asked: asking.Asked = done.result
    here = reverse("admin:product", args=[product])
    if asked.told is not None:
        context = {**asking.context(request, asked, here), "original": meant.label, "above": _ABOVE}
        return _screen(site, request, "admin/ask.html", context, title=asked.told.title, status=asked.status)
    if isinstance(asked.result, OperatorRequest):
        messages.success(request, gettext("Nothing is changed yet: another operator has to confirm it."))
        return redirect("admin:consent_operatorrequest_change", asked.result.pk)
    messages.success(request, gettext("Saved.") if asked.result else gettext("These days are set already."))
    return redirect(here)


def _change(request: HttpRequest, product: Product, data: dict[str, Any]) -> asking.Asked:
    by: dict[str, Any] = {"actor": actor_of(request), "source": Source.ADMIN, "product": product.value, **data}
    wanted = cooling_off.change_to(product, data["days"])
    if wanted.after == wanted.before:
        return asking.Asked()

    def run() -> Any:
        if wanted.shortens:
            return operator_requests.ask(kind=RequestKind.COOLING_OFF, **by)
        return cooling_off.lengthen(**by)

    return asking.once_confirmed(request, lambda: consequences.of_cooling_off(wanted, run))


_ABOVE = {"url_name": "admin:products", "label": _("Products")}


def _page(
    site: admin.AdminSite, request: HttpRequest, product: Product, form: DaysForm | None = None, status: int = 200
) -> HttpResponse:
    days = CoolingOff.objects.in_force()[product]
    waiting = operator_requests.waiting().filter(kind=RequestKind.COOLING_OFF, details__product=product.value)
    context = {
        "shown": Shown(product, days),
        "form": form or DaysForm(initial={"days": days}),
        "waiting": waiting.first(),
        "history": _history(request, product),
        "above": _ABOVE,
    }
    return _screen(site, request, "admin/product.html", context, title=str(product.label), status=status)


def _history(request: HttpRequest, product: Product) -> list[HistoryEntry]:
    changes = CoolingOff.objects.filter(product=product).select_related("event").order_by("-since")[:_SHOWN]
    events = [change.event for change in changes]
    who = actors.labels(events, actor_of(request))
    return [
        HistoryEntry(
            event.recorded_at, f"{event.before} → {event.after}", who[event.pk], event.reason,
            reverse("admin:consent_consentevent_change", args=[event.pk]),
        )
        for event in events
    ]  # fmt: skip


def _screen(
    site: admin.AdminSite,
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    title: str,
    status: int = 200,
) -> HttpResponse:
    request.current_app = site.name
    frame = {**site.each_context(request), "title": title, "subtitle": None}
    return TemplateResponse(request, template, {**frame, **context}, status=status)

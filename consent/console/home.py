"""The start page after signing in, and the list of a person's organizations."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from accounts.access import Actor

from ..navigation import own_consoles
from .forms import Keyset
from .pages import page, person_page
from .paging import page_of


@require_safe
@person_page
def home(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Redirects operators to their site, people with a console to it or to the list, others to their own controls."""
    if actor.is_operator:
        return redirect("admin:index")
    consoles = list(own_consoles(actor)[:2])
    if len(consoles) == 1:
        return redirect("console:overview", consoles[0].pk)
    return redirect("organizations" if consoles else "console:data-controls")


@require_safe
@person_page
def organizations(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The organizations whose console the person may open by their own role, newest first; `q`: words of a name."""
    keyset = Keyset(request.GET)
    after = keyset.cleaned_data["after"] if keyset.is_valid() else None
    asked = request.GET.get("q", "").strip()
    own = own_consoles(actor).order_by()
    rows = page_of(request, own.matching(asked) if asked else own, after)
    return page(request, actor, "console/organizations.html", {"page": rows, "asked": asked})

"""The page that says what an act will do, before it is done."""

from django.http import HttpRequest, HttpResponse

from accounts.access import Actor
from accounts.models import Organization

from ..presentation import asking
from .pages import page


def ask(request: HttpRequest, actor: Actor, organization: Organization, asked: asking.Asked) -> HttpResponse:
    """Its form repeats this request, confirmed; whoever cancels is led back to the page of the same URL."""
    context = dict(asking.context(request, asked, request.get_full_path()))
    return page(request, actor, "console/ask.html", context, organization=organization, status=asked.status)

"""The external ids on the page of an organization or member, withdrawn ones included, and withdrawing one (R16)."""

from typing import Any

from django import forms
from django.http import HttpRequest

from accounts.models import Binding, Member, Organization

from ..models import Source
from ..services.external_ids import withdraw_external_id
from .base import Attempt, actor_of, run_service
from .forms import WithdrawForm


def ids_of(organization: Organization, member: Member | None = None, sent: forms.Form | None = None) -> dict[str, Any]:
    """Template context: `bindings`, newest first, and `withdraw_form`; `sent` is a refused form to show again."""
    bindings = list(Binding.objects.of_subject(organization, member).order_by("-recorded_at", "-pk"))
    live = [each.value for each in bindings if each.withdrawn_at is None]
    return {"bindings": bindings, "withdraw_form": sent or (WithdrawForm(live=live) if live else None)}


def withdraw(
    request: HttpRequest, organization: Organization, member: Member | None = None
) -> tuple[WithdrawForm, Attempt]:
    """The submitted form and its outcome. An id that somebody withdrew meanwhile is no longer among its choices."""
    live = Binding.objects.of_subject(organization, member).live().order_by("pk")
    form = WithdrawForm(request.POST, live=list(live.values_list("value", flat=True)))

    def run(data: dict[str, Any]) -> None:
        withdraw_external_id(
            organization=organization, member=member, actor=actor_of(request), source=Source.ADMIN, **data
        )

    return form, run_service(form, run)

"""The external ids of an organization or a member, those withdrawn too, on its page; and withdrawing one (R16)."""

from typing import Any

from django import forms
from django.http import HttpRequest

from accounts.models import Binding, Member, Organization

from ..models import Source
from ..services.external_ids import withdraw_external_id
from .base import Attempt, actor_of, run_service
from .forms import WithdrawForm


def ids_of(organization: Organization, member: Member | None = None, sent: forms.Form | None = None) -> dict[str, Any]:
    """What the page shows of them: `bindings`, the last given first, and the form; `sent` is one that was refused."""
    bindings = list(Binding.objects.of_subject(organization, member).order_by("-recorded_at", "-pk"))
    live = [each.value for each in bindings if each.withdrawn_at is None]
    return {"bindings": bindings, "withdraw_form": sent or (WithdrawForm(live=live) if live else None)}


def withdraw(
    request: HttpRequest, organization: Organization, member: Member | None = None
) -> tuple[WithdrawForm, Attempt]:
    """The form as sent, and what came of it. Another page may have withdrawn the id meanwhile: it is no choice then."""
    live = Binding.objects.of_subject(organization, member).live().order_by("pk")
    form = WithdrawForm(request.POST, live=list(live.values_list("value", flat=True)))

    def run(data: dict[str, Any]) -> None:
        withdraw_external_id(
            organization=organization, member=member, actor=actor_of(request), source=Source.ADMIN, **data
        )

    return form, run_service(form, run)

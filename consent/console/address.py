"""A person's change of their own e-mail address: requested here, confirmed by links sent to the old and new address."""

from collections.abc import Callable
from typing import cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.fields import AddressFormField
from accounts.models import User
from accounts.reauthentication import confirm_person, session_actor

from ..errors import ConfirmationRequired, ServiceError
from ..services import addresses

_METHODS = ["GET", "HEAD", "POST"]


class AddressForm(forms.Form):
    email = AddressFormField(label=_("New e-mail"), widget=forms.EmailInput({"autocomplete": "email"}))


@never_cache
@require_http_methods(_METHODS)
@login_required
def change(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    form, status = AddressForm(request.POST or None, label_suffix=""), 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                addresses.ask(actor=session_actor(request), email=form.cleaned_data["email"], link=_link(request))
            except ConfirmationRequired:
                confirm_person(request)
            except ServiceError as error:
                status = error.http_status
                form.add_error("email", str(error))
            else:
                messages.success(
                    request, gettext("Nothing is changed yet: open the links that we sent to both addresses.")
                )
                return redirect("account_email")
    return render(
        request,
        "console/address.html",
        {"form": form, "email": user.email, "pending": addresses.pending(user)},
        status=status,
    )


@never_cache
@require_http_methods(_METHODS)
@login_required
def confirm(request: HttpRequest, secret: str) -> HttpResponse:
    """The page of one of the two links. A button confirms: mail programs open links by themselves."""
    user = cast(User, request.user)
    found = addresses.find(user=user, secret=secret)
    if found is None:
        return render(request, "console/address.html", {"ended": True}, status=404)
    if request.method == "POST":
        try:
            done = addresses.confirm(user=user, secret=secret)
        except ServiceError as error:
            return render(request, "console/address.html", {"refused": str(error)}, status=error.http_status)
        text = (
            gettext("Your address is changed.")
            if done
            else gettext("Confirmed. Now open the link that was sent to the other address.")
        )
        messages.success(request, text)
        return redirect("account_email")
    return render(request, "console/address.html", {"change": found})


def _link(request: HttpRequest) -> Callable[[str], str]:
    return lambda secret: request.build_absolute_uri(reverse("account_confirm_email", args=[secret]))

"""The page that an invitation's link opens."""

from allauth.account.utils import perform_login
from django import forms
from django.contrib import messages
from django.contrib.auth.password_validation import password_validators_help_texts
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.models import Invitation, Member, User

from ..errors import ServiceError
from ..services import invitations as service


class NewAccountForm(forms.Form):
    name = forms.CharField(label=_("Your name"), max_length=200, widget=forms.TextInput({"autocomplete": "name"}))
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput({"autocomplete": "new-password"})
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["password"].help_text = " ".join(password_validators_help_texts())


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Accept an invitation: as somebody signed in, after signing in, or with a new account.

    404 if the invitation is no longer valid; somebody signed in with another address is told so.
    """
    found = service.find(secret)
    if found is None:
        return render(request, "console/invitation.html", {"ended": True}, status=404)
    user = request.user if isinstance(request.user, User) else None
    form = None
    if user is None:
        # The address has an account: its person signs in first, and comes back here.
        if service.account_of(found) is not None:
            return redirect_to_login(request.get_full_path())
        form = NewAccountForm(request.POST if request.method == "POST" else None, label_suffix="")
    status = 400 if request.method == "POST" else 200
    if request.method == "POST" and (form is None or form.is_valid()):
        try:
            member = service.accept(invitation=found, user=user, **(form.cleaned_data if form else {}))
        except ServiceError as error:
            status = error.http_status
            if form is not None and error.field in form.fields:
                form.add_error(error.field, str(error))
            else:
                messages.error(request, str(error))
        else:
            return _joined(request, member, signed_in=user is not None)
    return _page(request, found, user, form, status)


def _page(
    request: HttpRequest, found: Invitation, user: User | None, form: NewAccountForm | None, status: int
) -> HttpResponse:
    context = {"invitation": found, "form": form, "anothers": user is not None and user.email != found.email}
    return render(request, "console/invitation.html", context, status=status)


def _joined(request: HttpRequest, member: Member, *, signed_in: bool) -> HttpResponse:
    messages.success(request, gettext("You belong to %(organization)s now.") % {"organization": member.organization})
    if signed_in:
        return redirect("home")
    answer: HttpResponse = perform_login(request, member.user, redirect_url=reverse("home"))
    return answer

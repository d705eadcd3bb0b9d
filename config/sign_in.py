"""Signing in by e-mail and password, so many times a minute."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from accounts import limits


class SignIn(LoginView):
    template_name = "console/sign_in.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The limit is the same for addresses that are known and that are not."""
        email = request.POST.get("username", "")[:254].strip().lower()
        try:
            limits.count(f"sign-in:{request.META['REMOTE_ADDR']}:{email}", limit=settings.SIGN_IN_RATE, seconds=60)
        except limits.TooMany as error:
            form = self.get_form()
            form.errors.clear()
            form.add_error(None, _("Too many attempts. Try again in a minute."))
            response = self.render_to_response(self.get_context_data(form=form))
            response.status_code = 429
            response.headers["Retry-After"] = str(error.seconds)
            return response
        return super().post(request, *args, **kwargs)

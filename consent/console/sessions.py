"""Where a person is signed in, by device in words; and signing out there."""

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import session_list
from accounts.models import User


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def sessions(request: HttpRequest) -> HttpResponse:
    """The list; each button posts an action (`do`), and the device that it is for."""
    user, key = cast(User, request.user), request.session.session_key
    match request.POST.get("do"):
        case "end":
            device = request.POST.get("device", "")
            if not (device.isdecimal() and len(device) < 19 and session_list.end(user, int(device))):
                raise Http404
            messages.success(request, gettext("That device is signed out."))
        case "end-others":
            session_list.end_others(user, key)
            messages.success(request, gettext("All other devices are signed out."))
        case _:
            status = 400 if request.method == "POST" else 200
            return render(
                request, "console/sessions.html", {"devices": session_list.devices_of(user, key)}, status=status
            )
    return redirect("usersessions_list")

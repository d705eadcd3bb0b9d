"""Every URL of the portal."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from consent.api import service
from consent.console.home import home, organizations

from . import problems

handler400 = "config.problems.bad_request"
handler403 = "config.problems.permission_denied"
handler404 = "config.problems.page_not_found"
handler500 = "config.problems.server_error"

urlpatterns = [
    path("", home, name="home"),
    path(
        "sign-in/",
        LoginView.as_view(template_name="console/sign_in.html", redirect_authenticated_user=True),
        name="sign-in",
    ),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("organizations/", organizations, name="organizations"),
    path("", include("consent.console.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("consent.api.urls")),
    path("api/", problems.no_such_path),
    path("api/<path:_path>", problems.no_such_path),
    path("healthz", service.healthz, name="healthz"),
    path("readyz", service.readyz, name="readyz"),
]

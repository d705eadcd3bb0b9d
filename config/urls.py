"""Every URL of the portal."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from consent.api import authzen, metrics, openapi, service
from consent.console.home import home, organizations

from . import problems
from .sign_in import SignIn

handler400 = "config.problems.bad_request"
handler403 = "config.problems.permission_denied"
handler404 = "config.problems.page_not_found"
handler500 = "config.problems.server_error"

urlpatterns = [
    path("", home, name="home"),
    path("sign-in/", SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("organizations/", organizations, name="organizations"),
    path("", include("consent.console.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("consent.api.urls")),
    path("api/schema/", openapi.Schema.as_view(), name="schema"),
    path("api/docs/", openapi.Docs.as_view(), name="docs"),
    path("api/", problems.no_such_path),
    path("api/<path:_path>", problems.no_such_path),
    path("access/v1/evaluation", authzen.evaluation, name="authzen-evaluation"),
    path("access/v1/evaluations", authzen.evaluations, name="authzen-evaluations"),
    path(".well-known/authzen-configuration", authzen.configuration, name="authzen-configuration"),
    path("metrics", metrics.metrics, name="metrics"),
    path("healthz", service.healthz, name="healthz"),
    path("readyz", service.readyz, name="readyz"),
]

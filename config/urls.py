"""Every URL of the portal."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from consent.api import authzen, log, metrics, schema_views, service
from consent.console.home import home, organizations
from consent.console.invitations import invitation
from consent.console.profile import language

from . import problems

handler500 = "config.problems.server_error"

urlpatterns = [
    path("", home, name="home"),
    path("", include("config.sign_in")),
    path("organizations/", organizations, name="organizations"),
    path("invitations/<str:secret>/", invitation, name="invitation"),
    path("", include("consent.console.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("consent.api.urls")),
    path("api/schema/", schema_views.Schema.as_view(), name="schema"),
    path("api/docs/", schema_views.Docs.as_view(), name="docs"),
    path("api", problems.no_such_path),
    path("api/", problems.no_such_path),
    path("api/<path:_path>", problems.no_such_path),
    path("access/v1/evaluation", authzen.evaluation, name="authzen-evaluation"),
    path("access/v1/evaluations", authzen.evaluations, name="authzen-evaluations"),
    path(".well-known/authzen-configuration", authzen.configuration, name="authzen-configuration"),
    path(".well-known/training-consent-log.json", log.about, name="log-about"),
    path("log/checkpoint", log.checkpoint, name="log-checkpoint"),
    path("log/tile/<path:place>", log.tile, name="log-tile"),
    path("log/<str:number>/checkpoint", log.checkpoint, name="log-origin-checkpoint"),
    path("log/<str:number>/tile/<path:place>", log.tile, name="log-origin-tile"),
    path("metrics", metrics.metrics, name="metrics"),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}portal/mark.svg"), name="favicon"),
    path("language/", language, name="set_language"),
    path("healthz", service.healthz, name="healthz"),
    path("readyz", service.readyz, name="readyz"),
]

"""The operators' site: who may enter, how they sign in, and the pages that belong to no model."""

import functools
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.auth.views import LogoutView, redirect_to_login
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.access import Forbidden, NotFound
from accounts.reauthentication import confirm_person, session_actor

from .errors import ConfirmationRequired
from .navigation import navigation_of


class PortalAdminSite(admin.AdminSite):
    site_title = _("Training Consent")
    site_header = _("Training Consent")
    index_title = _("Operators' site")

    def register(self, model_or_iterable: Any, *args: Any, **options: Any) -> None:
        """Register only models of this project: other apps would show groups, which do nothing here, and secrets."""
        models = model_or_iterable if isinstance(model_or_iterable, Iterable) else [model_or_iterable]
        own = [model for model in models if model._meta.app_label in ("accounts", "consent")]
        super().register(own, *args, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """Active operators, and nobody else."""
        return request.user.is_active and bool(getattr(request.user, "is_staff", False))

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Send visitors who are not signed in to the portal's own sign-in; give signed-in non-operators a 403."""
        inner = super().admin_view(view, cacheable)

        @functools.wraps(inner)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not self.has_permission(request):
                return render(request, "admin/forbidden.html", status=403)
            given = (value for name, values in request.GET.lists() for value in (name, *values))
            if any("\0" in text for text in (request.path_info, *given)):
                # Filters, and keys of plans, go to the database unchecked, and PostgreSQL rejects NUL characters.
                raise BadRequest("the path or a parameter has a NUL character")
            try:
                return inner(request, *args, **kwargs)
            except NotFound as error:
                raise Http404 from error
            except Forbidden:
                return render(request, "admin/forbidden.html", status=403)
            except ConfirmationRequired:
                confirm_person(request)

        return checked

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """What every page gets: the portal's navigation in place of Django's list of apps."""
        return {
            "site_title": self.site_title,
            "site_header": self.site_header,
            "has_permission": True,
            "is_popup": False,
            "nav": navigation_of(request, session_actor(request)),
        }

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect_to_login(request.GET.get("next") or reverse("admin:index", current_app=self.name))

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Redirect to the portal's page for one's own password; nobody can set another person's."""
        return redirect("account_change_password")

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return redirect("account_change_password")

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return LogoutView.as_view()(request)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        from .admin import dashboard

        request.current_app = self.name
        told = dashboard.context(session_actor(request))
        context = {**self.each_context(request), "title": _("Overview"), **told, **(extra_context or {})}
        return TemplateResponse(request, "admin/index.html", context)

    def app_index(self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None) -> Any:
        """Redirect to the overview: the navigation is by task, and knows no apps."""
        return redirect("admin:index")

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # Not at the top: modules of `admin` register models with the default site, which is an object of this class.
        from .admin import bulk, imports, products, search, why, wordings

        own: list[URLPattern | URLResolver] = [
            path("search/", self.admin_view(partial(search.search, self)), name="search"),
            path("why/", self.admin_view(partial(why.why, self)), name="why"),
            path("products/", self.admin_view(partial(products.products, self)), name="products"),
            path("products/<str:product>/", self.admin_view(partial(products.product, self)), name="product"),
            path("wordings/", self.admin_view(require_safe(partial(wordings.wordings, self))), name="wordings"),
            path(
                "wordings/<str:surface>/<str:number>/",
                self.admin_view(require_safe(partial(wordings.wording, self))),
                name="wording",
            ),
            path("bulk/", self.admin_view(partial(bulk.bulk, self)), name="bulk"),
            path("import/", self.admin_view(partial(imports.upload, self)), name="import"),
            path("import/<str:file_id>/", self.admin_view(partial(imports.columns, self)), name="import_file"),
        ]
        return own + super().get_urls()

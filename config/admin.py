"""The portal's admin site, set by an app config, so that Django uses it before any ModelAdmin registers."""

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    default_site = "consent.admin_site.PortalAdminSite"

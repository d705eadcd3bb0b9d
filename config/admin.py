"""The admin site of the portal, as an app config so that Django finds it before any ModelAdmin registers."""

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    default_site = "consent.admin_site.PortalAdminSite"

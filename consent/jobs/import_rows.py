"""What an import would do, for its approver: counts, and row by row."""

from typing import Any

from django.db.models import BooleanField, CharField, Count, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from accounts.models import Organization

from ..models import BulkJob, ImportRow, ImportTable, PrivacySetting


def rows_with_setting(job: BulkJob) -> "QuerySet[ImportRow, Any]":
    """The job's rows with the organization's current setting (`now_…`), name and external id (`here_…`)."""
    settings = PrivacySetting.objects.of_organizations().filter(
        organization=OuterRef("organization"), product=OuterRef("product")
    )
    here = Organization.objects.filter(pk=OuterRef("organization"))
    return job.import_rows.annotate(
        now_plan=Coalesce(Subquery(settings.values("plan")[:1]), Value(""), output_field=CharField()),
        now_choice=Coalesce(Subquery(settings.values("choice")[:1]), Value("default"), output_field=CharField()),
        now_used=Subquery(settings.values("allowed")[:1], output_field=BooleanField()),
        here_name=Subquery(here.values("name")[:1]),
        here_external_id=Subquery(here.values("external_id")[:1]),
    )


def before_and_after(job: BulkJob, row: dict[str, Any]) -> tuple[str, str, str]:
    """The plan that a row is about, and the value that it changes, before and after; '' for what doesn't exist yet."""
    match job.table:
        case ImportTable.SUBSCRIPTIONS:
            return row["plan"], row["now_plan"], row["plan"]
        case ImportTable.CHOICES:
            return row["now_plan"], "" if row["of_member"] else row["now_choice"], row["choice"]
        case ImportTable.ORGANIZATIONS:
            return ", ".join(job.selection.get("plans", ())), "", row["choice"] or "default"
    return "", "", row["role"]


_GROUPED = ("plan", "choice", "role", "outcome", "loosens", "now_plan", "now_choice", "now_used")


def summary(job: BulkJob) -> list[dict[str, Any]]:
    """The rows, counted by plan, current and new values; `attested` rows bring an earlier start."""
    grouped = (
        rows_with_setting(job)
        .annotate(attested=Q(since__isnull=False), of_member=Q(member__isnull=False))
        .order_by()
        .values(*_GROUPED, "attested", "of_member")
        .annotate(count=Count("pk"))
    )
    found = []
    for row in grouped.order_by(F("loosens").desc(), F("count").desc()):
        plan, before, after = before_and_after(job, row)
        told = {"plan": plan, "before": before, "after": after, "outcome": row["outcome"] or "change"}
        told |= {"count": row["count"], "used_before": row["now_used"], "used_after": None}
        found.append(told | {"attested": row["attested"], "loosens": row["loosens"]})
    return found

"""URLs below /api/v1/. `organization` and `member` are an id or `external:` followed by an external id."""

from django.urls import URLPattern, path

from . import (
    asked,
    bulk_jobs,
    catalogue,
    consumers,
    decisions,
    events,
    external_ids,
    keys,
    members,
    organizations,
    privacy_settings,
    receipts,
    runs,
    snapshots,
    stream,
    webhooks,
)

app_name = "api"

_ORGANIZATION = "organizations/<str:organization>/"
_JOB = "bulk-jobs/<str:job>/"
_CONSUMER = "consumers/<str:consumer>/"
_RUN = "training-runs/<str:run>/"
_SNAPSHOT = "snapshots/<str:position>/"
_WEBHOOK = "webhooks/<str:webhook>/"
_MEMBER = f"{_ORGANIZATION}members/<str:member>/"

urlpatterns: list[URLPattern] = [
    path("products/", catalogue.Products.as_view(), name="products"),
    path("plans/", catalogue.Plans.as_view(), name="plans"),
    path("surfaces/", catalogue.Surfaces.as_view(), name="surfaces"),
    path("event-kinds/", catalogue.EventKinds.as_view(), name="event-kinds"),
    path("organizations/", organizations.Organizations.as_view(), name="organizations"),
    path(_ORGANIZATION, organizations.OrganizationDetail.as_view(), name="organization"),
    path(
        f"{_ORGANIZATION}subscriptions/<str:product>/",
        organizations.SubscriptionDetail.as_view(),
        name="subscription",
    ),
    path(f"{_ORGANIZATION}members/", members.Members.as_view(), name="members"),
    path(_MEMBER, members.MemberDetail.as_view(), name="member"),
    path(f"{_ORGANIZATION}invitations/", members.Invitations.as_view(), name="invitations"),
    path(f"{_ORGANIZATION}invitations/<str:invitation>/", members.InvitationDetail.as_view(), name="invitation"),
    path(
        f"{_ORGANIZATION}external-ids/<str:value>/",
        external_ids.OrganizationExternalId.as_view(),
        name="organization-external-id",
    ),
    path(f"{_MEMBER}external-ids/<str:value>/", external_ids.MemberExternalId.as_view(), name="member-external-id"),
    path(
        f"{_ORGANIZATION}privacy-settings/",
        privacy_settings.OrganizationSettings.as_view(),
        name="organization-settings",
    ),
    path(
        f"{_ORGANIZATION}privacy-settings/<str:surface>/",
        privacy_settings.OrganizationSetting.as_view(),
        name="organization-setting",
    ),
    path(f"{_MEMBER}privacy-settings/", privacy_settings.MemberSettings.as_view(), name="member-settings"),
    path(
        f"{_MEMBER}privacy-settings/<str:surface>/",
        privacy_settings.MemberSetting.as_view(),
        name="member-setting",
    ),
    path(f"{_ORGANIZATION}locks/<str:product>/", privacy_settings.LockDetail.as_view(), name="lock"),
    path("privacy-settings/", privacy_settings.ManySettings.as_view(), name="many-settings"),
    path("members/", members.MembersAnywhere.as_view(), name="members-anywhere"),
    path("bulk-jobs/", bulk_jobs.BulkJobs.as_view(), name="bulk-jobs"),
    path(_JOB, bulk_jobs.BulkJobDetail.as_view(), name="bulk-job"),
    path(f"{_JOB}rows/", bulk_jobs.BulkJobRows.as_view(), name="bulk-job-rows"),
    path(f"{_JOB}approve/", bulk_jobs.BulkJobApproval.as_view(), name="bulk-job-approve"),
    path(f"{_JOB}pause/", bulk_jobs.BulkJobPause.as_view(), name="bulk-job-pause"),
    path(f"{_JOB}resume/", bulk_jobs.BulkJobResume.as_view(), name="bulk-job-resume"),
    path(f"{_JOB}cancel/", bulk_jobs.BulkJobCancel.as_view(), name="bulk-job-cancel"),
    path(f"{_JOB}undo/", bulk_jobs.BulkJobUndo.as_view(), name="bulk-job-undo"),
    path("training-runs/", runs.TrainingRuns.as_view(), name="training-runs"),
    path(_RUN, runs.TrainingRunDetail.as_view(), name="training-run"),
    path(f"{_RUN}manifest/", runs.TrainingRunManifest.as_view(), name="training-run-manifest"),
    path(f"{_RUN}retire/", runs.TrainingRunRetirement.as_view(), name="training-run-retire"),
    path(f"{_RUN}removals/", runs.Removals.as_view(), name="removals"),
    path(f"{_RUN}removal-batches/", runs.RemovalBatches.as_view(), name="removal-batches"),
    path(
        f"{_RUN}removals/<str:batch>/acknowledge/", runs.RemovalAcknowledgements.as_view(), name="removal-acknowledge"
    ),
    path("me/", keys.Me.as_view(), name="me"),
    path("api-keys/", keys.ApiKeys.as_view(), name="api-keys"),
    path("api-keys/<str:key>/", keys.ApiKeyDetail.as_view(), name="api-key"),
    path("api-keys/<str:key>/take-over", keys.ApiKeyTakeOver.as_view(), name="api-key-take-over"),
    path("webhooks/", webhooks.Webhooks.as_view(), name="webhooks"),
    path(_WEBHOOK, webhooks.WebhookDetail.as_view(), name="webhook"),
    path(f"{_WEBHOOK}attempts/", webhooks.WebhookAttempts.as_view(), name="webhook-attempts"),
    path(f"{_WEBHOOK}attempts/<str:attempt>/resend/", webhooks.WebhookResend.as_view(), name="webhook-resend"),
    path(f"{_WEBHOOK}test/", webhooks.WebhookTest.as_view(), name="webhook-test"),
    path(f"{_WEBHOOK}replay/", webhooks.WebhookReplay.as_view(), name="webhook-replay"),
    path(f"{_WEBHOOK}rotate-secret/", webhooks.WebhookRotation.as_view(), name="webhook-rotate-secret"),
    path(f"{_WEBHOOK}take-over/", webhooks.WebhookTakeOver.as_view(), name="webhook-take-over"),
    path("consumers/", consumers.Consumers.as_view(), name="consumers"),
    path(_CONSUMER, consumers.ConsumerDetail.as_view(), name="consumer"),
    path(f"{_CONSUMER}position/", consumers.ConsumerPosition.as_view(), name="consumer-position"),
    path("snapshots/", snapshots.Snapshots.as_view(), name="snapshots"),
    path(_SNAPSHOT, snapshots.SnapshotDetail.as_view(), name="snapshot"),
    path(f"{_SNAPSHOT}files/<str:name>", snapshots.SnapshotContent.as_view(), name="snapshot-file"),
    path("decisions/", decisions.decide, name="decisions"),
    path("decisions/batch/", decisions.decide_batch, name="decisions-batch"),
    path("events/stream", stream.EventStream.as_view(), name="events-stream"),
    path("events/<str:event>/receipt/", receipts.Receipt.as_view(), name="receipt"),
    path("events/", events.Events.as_view(), name="events"),
    path(f"{_ORGANIZATION}questions-asked/", asked.QuestionsAsked.as_view(), name="questions-asked"),
    path(f"{_ORGANIZATION}events/", events.OrganizationEvents.as_view(), name="organization-events"),
]

"""The table of all operations of the DRF views, from which the OpenAPI description is generated.

Its texts are for readers of the description. Fields are described by the serializers; the plain decision views by
`questions`.
"""

from drf_spectacular.utils import OpenApiParameter, extend_schema_view
from rest_framework.views import APIView

from . import (
    asked,
    bulk_jobs,
    catalogue,
    consumers,
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
from . import bulk_serializers as bulk
from . import event_serializers as event_shapes
from . import run_serializers as run_shapes
from . import serializers as shapes
from .operation import AFTER, PEOPLE, Operation, described

# Tag → its description, in display order.
TAGS = {
    "decisions": "May this be used for training? One question or ten thousand, in our own words or by AuthZEN 1.0.",
    "organizations": "Customers, and the plans they hold.",
    "members": "The people of an organization, and invitations.",
    "external ids": "Your own ids of organizations and members: each means one subject for good.",
    "privacy settings": "What organizations and members chose, and locks.",
    "events": "The ledger: everything that happened, in one order that never changes.",
    "bulk jobs": "Changes of many at once: previewed, approved by a second operator where they loosen, run by a worker.",
    "training runs": "What models were trained on, with signed manifests, and what has to be removed from it since.",
    "snapshots": "All consent at a position of the ledger, as signed files, for filtering training data.",
    "webhooks": "Where events are sent to, signed as Standard Webhooks says.",
    "consumers": "Systems of the provider that use data, and how far each has applied the ledger.",
    "API keys": "Who asks, and keys.",
    "catalogue": "What there is to ask about.",
}

_IF_MATCH = OpenApiParameter(
    "If-Match", {"type": "string", "maxLength": 2000}, OpenApiParameter.HEADER,
    description='The `ETag` of the setting that was looked at, or several; `"3"`, its number alone, will do. Needed to loosen; to tighten it is not looked at.',
)  # fmt: skip
_UNCHANGED = OpenApiParameter(
    "If-Match", {"type": "string", "maxLength": 2000}, OpenApiParameter.HEADER,
    description="The `ETag` of what was looked at, or several: 412 where it has changed since. Weak ones never match.",
)  # fmt: skip
_KEY = OpenApiParameter(
    "Idempotency-Key", {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}, OpenApiParameter.HEADER,
    description="A name of your own for this request. Sent again within a day, with the same body, it gets the first answer.",
)  # fmt: skip
_READ_ORGANIZATIONS, _WRITE_ORGANIZATIONS = ("organizations:read",), ("organizations:write",)
_READ, _WRITE = ("consent:read",), ("consent:write",)
_SPEAK = ("consent:write", "consent:member")
_BULK, _HOOKS, _EVENTS = ("consent:write",), ("webhooks:write",), ("events:read",)
_CONSUMERS = ("events:read", "consumer:write")
_PIPELINE, _RUNS = ("pipeline:read",), ("runs:write",)
_LOOSENING, _CREATING = (409, 412, 428), (409, 422)
# Only for somebody who is signed in, never for a key.
_PEOPLE = (PEOPLE,)

O = Operation  # noqa: E741  a table
OPERATIONS = [
    O(catalogue.Products, "get", "listProducts", "The products there are", (), shapes.ProductOutput),
    O(catalogue.Plans, "get", "listPlans", "The plans there are", (), shapes.PlanOutput),
    O(catalogue.Surfaces, "get", "listSurfaces", "Where choices are made", (), shapes.SurfaceOutput),
    O(catalogue.EventKinds, "get", "listEventKinds", "The kinds of events there are", (), event_shapes.EventKindOutput,
      more="Every kind of event: what it says, with an example of what webhooks send."),
    O(organizations.Organizations, "get", "listOrganizations", "Organizations, newest first", _READ_ORGANIZATIONS,
      shapes.OrganizationOutput, more="The organizations that you may see, newest first; all filters must hold."),
    O(organizations.Organizations, "post", "createOrganization", "Create an organization", _WRITE_ORGANIZATIONS,
      shapes.OrganizationOutput, shapes.OrganizationInput, 201, _CREATING, (_KEY,),
      more="Creates an organization, with its first subscriptions and, for a personal one, its owner (operators)."),
    O(organizations.OrganizationDetail, "get", "getOrganization", "One organization", _READ_ORGANIZATIONS,
      shapes.OrganizationOutput),
    O(organizations.OrganizationDetail, "patch", "changeOrganization", "Change an organization; close or reopen it",
      _WRITE_ORGANIZATIONS, shapes.OrganizationOutput, shapes.OrganizationChange, 200, (409, 412), (_UNCHANGED,), tagged=True,
      more="Changes what is given, all of it or nothing. Operators also close an account, and open it again: of a closed one "
           "nothing is used for training. Closing alone never looks at `If-Match`."),
    O(organizations.SubscriptionDetail, "put", "subscribe", "Start a subscription, or move it to another plan",
      _WRITE_ORGANIZATIONS, shapes.OrganizationOutput, shapes.SubscriptionInput, 200, (409,),
      more="Starts a subscription of the product, or moves it to another plan (operators). A choice stays; where none was "
           "made, the new plan's default holds, but what was out stays out."),
    O(organizations.SubscriptionDetail, "delete", "endSubscription", "End a subscription", _WRITE_ORGANIZATIONS, None,
      shapes.ReasonInput, 204, (409,), more="Ends it (operators): nothing of this product is used for training from now on."),
    O(members.MembersAnywhere, "get", "findMembers", "Whose member somebody is", _READ_ORGANIZATIONS, shapes.MemberFound,
      more="Everybody with this address or external id, in whichever organization, newest first (operators). 400 without "
           "either."),
    O(members.Members, "get", "listMembers", "An organization's members", _READ_ORGANIZATIONS, shapes.MemberOutput,
      more="Its members, newest first, those who left too; all filters must hold."),
    O(members.Members, "post", "addMember", "Invite somebody (organizations), or let them join (operators)",
      _WRITE_ORGANIZATIONS, shapes.MemberOutput, shapes.MemberInput, 201, _CREATING, (_KEY,), {202: shapes.InvitationOutput},
      more="By an operator, or an operator's key, the person joins: 201. By an organization's people and keys they are "
           "invited: 202, and they join by the link that is mailed to them. The answer is the same whether or not anybody "
           "has an account with this address."),
    O(members.Invitations, "get", "listInvitations", "Invitations that can still be accepted", _READ_ORGANIZATIONS,
      shapes.InvitationOutput),
    O(members.InvitationDetail, "get", "getInvitation", "One invitation", _READ_ORGANIZATIONS, shapes.InvitationOutput),
    O(members.InvitationDetail, "delete", "withdrawInvitation", "Withdraw an invitation", _WRITE_ORGANIZATIONS, None, None,
      204, more="Its link leads nowhere from now on."),
    O(members.MemberDetail, "get", "getMember", "One member", _READ_ORGANIZATIONS, shapes.MemberOutput),
    O(members.MemberDetail, "patch", "changeMember", "Change a member's role or external id", _WRITE_ORGANIZATIONS,
      shapes.MemberOutput, shapes.MemberChange, 200, (409, 412), (_UNCHANGED,), tagged=True, more="Changes what is given. An organization keeps an owner."),
    O(members.MemberDetail, "delete", "removeMember", "A member leaves", _WRITE_ORGANIZATIONS, None, None, 204, (409, 412),
      (_UNCHANGED,),
      more="The member leaves: what is collected from now on is not used. Their choice and history stay."),
    O(external_ids.OrganizationExternalId, "delete", "withdrawExternalId", "Withdraw an organization's external id",
      _WRITE_ORGANIZATIONS, None, shapes.WithdrawalInput, 204,
      more="It means nobody from now on (operators). 404 where it never was theirs."),
    O(external_ids.MemberExternalId, "delete", "withdrawMemberExternalId", "Withdraw a member's external id",
      _WRITE_ORGANIZATIONS, None, shapes.WithdrawalInput, 204,
      more="It means nobody from now on (operators). 404 where it never was theirs."),
    O(privacy_settings.ManySettings, "get", "listSettingsOfMany", "Privacy settings of many organizations", _READ,
      shapes.SettingsOfOrganization,
      more="The organizations that you may see, newest first, each with its settings; all filters must hold. Of what "
           "members of a team chose nothing is listed."),
    O(privacy_settings.OrganizationSettings, "get", "listSettings", "An organization's privacy settings", _READ,
      shapes.SettingOutput),
    O(privacy_settings.OrganizationSetting, "get", "getSetting", "One privacy setting", _READ, shapes.SettingOutput,
      tagged=True, more="The setting. Its `ETag` is needed to opt in."),
    O(privacy_settings.OrganizationSetting, "put", "choose", "Opt an organization out, or in", _WRITE, shapes.SettingOutput,
      shapes.ChoiceInput, 200, _LOOSENING, (_IF_MATCH,), tagged=True,
      more="Opting out always works. Opting in needs `If-Match` with the `ETag` that was read last (428 without, 412 if it "
           "has changed since), a `reason` on a plan that is opted out by default, a subscription, an open account and no "
           "lock (409)."),
    O(privacy_settings.MemberSettings, "get", "listMemberSettings", "A member's privacy settings", _READ,
      shapes.SettingOutput, more="For operator keys, and for the member themselves."),
    O(privacy_settings.MemberSetting, "get", "getMemberSetting", "One privacy setting of a member", _READ,
      shapes.SettingOutput, tagged=True,
      more="For operator keys, and for the member themselves. Its `ETag` is needed to opt in."),
    O(privacy_settings.MemberSetting, "put", "chooseForMember", "Opt a member out, or pass on what they said", _SPEAK,
      shapes.SettingOutput, shapes.MemberChoiceInput, 200, _LOOSENING, (_IF_MATCH,), tagged=True,
      more="For operator keys, and for the member themselves. With `consent:write` a key only opts out; `consent:member` is "
           "for the app's backend, which has signed the member in. Opting in needs `If-Match`."),
    O(privacy_settings.LockDetail, "put", "placeLock", "Lock training off", _WRITE, shapes.SettingOutput, shapes.LockInput,
      200, (409,), tagged=True, more="Nothing of this product is used until the lock is lifted, whatever is chosen (operators)."),
    O(privacy_settings.LockDetail, "delete", "liftLock", "Lift the lock", _WRITE, None, shapes.LiftInput, 204, (409,),
      more="What was chosen holds again (operators)."),
    O(events.Events, "get", "listEvents", "The ledger, in position order", _EVENTS, event_shapes.EventOutput,
      more="The ledger in its one gapless order (operators); all filters must hold."),
    O(events.OrganizationEvents, "get", "listOrganizationEvents", "An organization's part of the ledger", _EVENTS,
      event_shapes.EventOutput,
      more="Its events in order. Its members' own choices are not among them; positions count for the whole portal, so they "
           "have gaps."),
    O(receipts.Receipt, "get", "getReceipt", "What proves that an event is in the log", _EVENTS, receipts.ReceiptOutput,
      refusals=(409, 410), also_as=receipts.TEXT, later=True,
      more="The receipt of an event that you may read, under the last signed checkpoint; it holds for ever. With "
           "`Accept: text/plain` it is a C2SP tlog-proof. 409 `not_logged_yet` before the next checkpoint, and "
           "`Retry-After` says when that is; 404 `log_off` where there is no log; 410 `salt_erased`."),
    O(stream.EventStream, "get", "streamEvents", "The ledger as JSON Lines, from a position to its head", _EVENTS,
      event_shapes.EventOutput, parameters=(OpenApiParameter("after", AFTER[0], description=AFTER[1]),), lines=True,
      more="Each line is an event, as `listEvents` shows it (operators). Cut off, go on after the last line that came whole."),
    O(bulk_jobs.BulkJobs, "get", "listBulkJobs", "Bulk jobs, newest first", _READ, bulk.BulkJobOutput,
      more="All bulk jobs, newest first (operators)."),
    O(bulk_jobs.BulkJobs, "post", "createBulkJob", "Preview a change of many; or run a preview, by its digest", _BULK,
      bulk.BulkJobPreview, bulk.BulkJobInput, 202, _CREATING, (_KEY,),
      more="With `dry_run` (so unless told otherwise) nothing changes: the answer says what would. Then send the preview's "
           "`digest` with `dry_run` false: a worker runs it, or, where it loosens, a second operator is waited for. 409 "
           "`drifted` where what is selected has changed since. For operators; with a key, whoever answers for it does so "
           "for the job too."),
    O(bulk_jobs.BulkJobDetail, "get", "getBulkJob", "How far a job is", _READ, bulk.BulkJobPreview),
    O(bulk_jobs.BulkJobRows, "get", "listBulkJobRows", "A job's rows", _READ, bulk.BulkJobRowOutput,
      more="The rows in order; until the job runs with what each is and would be."),
    O(bulk_jobs.BulkJobUndo, "post", "undoBulkJob", "Preview taking a job back", _BULK, bulk.BulkJobPreview, shapes.ReasonInput,
      202, _CREATING, (_KEY,),
      more="A job of its own that takes the other back, where nobody has chosen since; run it by its digest. 400 without a "
           "reason where it lets data be used again."),
    O(bulk_jobs.BulkJobApproval, "post", "approveBulkJob", "Let a job run that another operator made", _BULK,
      bulk.BulkJobOutput, bulk.ApproveInput, 200, (409,),
      more="In person, never by a key; not by whoever wrote or submitted the job. 403 says why."),
    O(bulk_jobs.BulkJobPause, "post", "pauseBulkJob", "Pause a job", _BULK, bulk.BulkJobOutput, bulk.NothingInput, 200, (409,),
      more="Stops after the rows at hand, for now."),
    O(bulk_jobs.BulkJobResume, "post", "resumeBulkJob", "Go on with a paused or failed job", _BULK, bulk.BulkJobOutput,
      bulk.NothingInput, 200, (409,)),
    O(bulk_jobs.BulkJobCancel, "post", "cancelBulkJob", "End a job", _BULK, bulk.BulkJobOutput, bulk.NothingInput, 200, (409,),
      more="Ends it for good; what is done stays."),
    O(runs.TrainingRuns, "get", "listTrainingRuns", "Training runs, newest first", _PIPELINE, run_shapes.RunOutput,
      more="All runs, newest first (operators)."),
    O(runs.TrainingRuns, "post", "registerTrainingRun", "Register a training run", _RUNS, run_shapes.RunWithFiles,
      run_shapes.RunInput, 201, _CREATING, (_KEY,), {200: run_shapes.RunWithFiles},
      more="Registers what the filter's reports allowed as a run's data, and signs its manifest (operators). The same data "
           "by the same `external_id` once more: 200, with the run that there is; other data: 409. 422 where a report's "
           "numbers do not add up, it is of a position that the ledger has not reached, or names a snapshot that this portal "
           "has not made."),
    O(runs.TrainingRunDetail, "get", "getTrainingRun", "One training run, with its files", _PIPELINE,
      run_shapes.RunWithFiles),
    O(runs.TrainingRunManifest, "get", "getManifest", "The signed manifest of a training run", _PIPELINE,
      run_shapes.ManifestOutput,
      more="An in-toto statement about the run's files, in a DSSE envelope: always by the same bytes."),
    O(runs.TrainingRunRetirement, "post", "retireTrainingRun", "Retire a training run", _RUNS, run_shapes.RunOutput,
      run_shapes.RetireInput,
      more="Its model is no longer in use, so that nothing has to be removed from it any more (operators). Once retired, it "
           "stays so."),
    O(runs.Removals, "get", "listRemovals", "What has to be removed from a training run", _PIPELINE, run_shapes.EntryOutput,
      more="The entries since the run's data was filtered, in order of position, or those of one removal (operators). Keep "
           "the position of the last one: what comes after it later is new."),
    O(runs.RemovalBatches, "get", "listRemovalBatches", "The removals of a training run, newest first", _PIPELINE,
      run_shapes.RemovalBatchOutput),
    O(runs.RemovalBatches, "post", "issueRemoval", "Look for removals now", _RUNS, run_shapes.IssuedOutput,
      bulk.NothingInput, 200, (409,),
      more="A worker does it once an hour: this does it now. 409 `retired` for a run that is retired."),
    O(runs.RemovalAcknowledgements, "post", "acknowledgeRemoval", "Say that a removal was applied", _RUNS,
      run_shapes.RemovalBatchOutput, run_shapes.AcknowledgeInput, 200, (409, 422),
      more="The same once more changes nothing; something else: 409 `acknowledged`. 422 where a report came with it that "
           "is too early, of a snapshot that this portal has not made, or by which records are left that may not be used."),
    O(snapshots.Snapshots, "get", "listSnapshots", "Snapshots of all consent, the highest position first", _PIPELINE,
      snapshots.SnapshotOutput, more="Those that `manage.py export_snapshot` wrote into SNAPSHOT_DIR (operators)."),
    O(snapshots.SnapshotDetail, "get", "getSnapshot", "One snapshot", _PIPELINE, snapshots.SnapshotOutput),
    O(snapshots.SnapshotContent, "get", "getSnapshotFile", "A file of a snapshot", _PIPELINE, snapshots.SnapshotFileOutput,
      file="application/vnd.apache.parquet",
      more="`manifest.json`, as JSON, or a file that it names, as Parquet. Check it by the manifest: its signature, and the file's digest."),
    O(webhooks.Webhooks, "get", "listWebhooks", "Webhooks, newest first", _HOOKS, webhooks.EndpointOutput),
    O(webhooks.Webhooks, "post", "createWebhook", "Send events somewhere", _HOOKS, webhooks.EndpointWithSecret,
      webhooks.EndpointInput, 201, (404, 409),
      more="It gets every event after its making, in order, at least once. The signing secret is shown this once."),
    O(webhooks.WebhookDetail, "get", "getWebhook", "One webhook", _HOOKS, webhooks.EndpointOutput),
    O(webhooks.WebhookDetail, "patch", "changeWebhook", "Change a webhook; pause it, or let it go on", _HOOKS,
      webhooks.EndpointOutput, webhooks.EndpointChange, 200, (412,), (_UNCHANGED,), tagged=True,
      more="Changes what is given. One that was paused goes on where it stopped: nothing is skipped."),
    O(webhooks.WebhookDetail, "delete", "deleteWebhook", "Delete a webhook", _HOOKS, None, None, 204, (412,), (_UNCHANGED,),
      more="Nothing is sent to it from now on."),
    O(webhooks.WebhookAttempts, "get", "listAttempts", "What came of a webhook's deliveries, newest first", _HOOKS,
      webhooks.AttemptOutput),
    O(webhooks.WebhookTest, "post", "testWebhook", "Have a test sent", _HOOKS, webhooks.AttemptOutput, bulk.NothingInput, 202,
      (409,), more="A worker sends it; what came of it stands among the attempts. One waits at a time: 409 `test_waiting`."),
    O(webhooks.WebhookResend, "post", "resendMessage", "Send the message of one attempt once more", _HOOKS,
      webhooks.AttemptOutput, bulk.NothingInput, 202, (409,),
      more="A worker sends it, out of turn and with the same id; the webhook stays where it stands. 409 `test_waiting` "
      "while something else waits, `no_event` for a test."),
    O(webhooks.WebhookReplay, "post", "replayWebhook", "Send everything after a position once more", _HOOKS,
      webhooks.EndpointOutput, webhooks.ReplayInput),
    O(webhooks.WebhookRotation, "post", "rotateSecret", "Another signing secret", _HOOKS, webhooks.EndpointWithSecret,
      bulk.NothingInput, more="The new secret is shown this once; for a day both sign."),
    O(webhooks.WebhookTakeOver, "post", "takeOverWebhook", "Answer for a webhook from now on", _PEOPLE,
      webhooks.EndpointWithSecret, bulk.NothingInput,
      more="It goes on where it stopped, signed by a new secret alone, which is shown this once."),
    O(asked.QuestionsAsked, "get", "listQuestionsAsked", "How often an organization was asked about", _READ, asked.AskedOutput,
      more="Latest day first. The answer is that of the organization's own layer alone: what members chose is not in it. Which "
           "of the provider's keys asked is told to operators. Files that are filtered ask no questions."),
    O(consumers.Consumers, "get", "listConsumers", "Systems that use data, newest first", _CONSUMERS,
      consumers.ConsumerOutput,
      more="For operators and their keys with `events:read`; a consumer's own key (`consumer:write`) finds itself."),
    O(consumers.ConsumerDetail, "get", "getConsumer", "One system that uses data", _CONSUMERS, consumers.ConsumerOutput),
    O(consumers.ConsumerPosition, "put", "setConsumerPosition", "A consumer says how far it has applied the ledger",
      ("consumer:write",), consumers.ConsumerOutput, consumers.PositionInput, 200, (409, 422),
      more="By the consumer's own key alone. The same position again changes nothing; a lower one is 409 `backwards`, and one "
           "beyond the ledger's head 422 `beyond_head`. Say it once every event up to there has its effect on the dataset."),
    O(keys.Me, "get", "whoAmI", "Who asks", (), keys.MeOutput,
      more="A person, with the organizations that they belong to, or a key, with its scopes."),
    O(keys.ApiKeys, "get", "listApiKeys", "API keys of the organizations whose keys you manage", _PEOPLE, keys.ApiKeyOutput,
      refusals=(404,)),
    O(keys.ApiKeys, "post", "createApiKey", "Make a key", _PEOPLE, keys.ApiKeyWithText, keys.ApiKeyInput, 201, (404, 409),
      more="Its text is shown this once."),
    O(keys.ApiKeyDetail, "get", "getApiKey", "One key, without its text", _PEOPLE, keys.ApiKeyOutput),
    O(keys.ApiKeyDetail, "delete", "revokeApiKey", "Revoke a key", _PEOPLE, None, None, 204, more="It ends for good, at once."),
    O(keys.ApiKeyTakeOver, "post", "takeOverApiKey", "Answer for a key from now on", _PEOPLE, keys.ApiKeyWithText,
      bulk.NothingInput, 200, (409,), more="It gets a new text, which is shown this once; the old one is worth nothing."),
]  # fmt: skip


def describe() -> None:
    """Attach the table's rows to the views for drf-spectacular. Call once, before the description is generated."""
    by_view: dict[type[APIView], dict[str, object]] = {}
    for operation in OPERATIONS:
        by_view.setdefault(operation.view, {})[operation.method] = described(operation)
    for view, methods in by_view.items():
        extend_schema_view(**methods)(view)

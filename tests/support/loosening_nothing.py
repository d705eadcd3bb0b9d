"""What there is at the faces beside the acts that loosen or protect: who adds something has to say here, or by an act,
what it does to anybody's consent."""

from consent.models import EventKind

# They say what is already so, who may do what, or what the provider did with data; they let no data be used.
KINDS = {kind for kind in EventKind if kind.startswith(("consumer.", "run.", "removal.", "restore."))} | {
    EventKind.ORGANIZATION_UPDATED, EventKind.ORGANIZATION_KIND_CHANGED, EventKind.MEMBER_UPDATED,
    EventKind.MEMBER_ROLE_CHANGED, EventKind.SINCE_RESTARTED, EventKind.POSITION_LOST, EventKind.LOG_SALT_ERASED,
    EventKind.ACCESS_KEY_CREATED, EventKind.ACCESS_KEY_TAKEN_OVER, EventKind.ACCESS_KEY_SUSPENDED,
    EventKind.ACCESS_KEY_REVOKED, EventKind.ACCESS_WEBHOOK_CREATED, EventKind.ACCESS_WEBHOOK_CHANGED,
    EventKind.ACCESS_WEBHOOK_PAUSED, EventKind.ACCESS_WEBHOOK_RESUMED, EventKind.ACCESS_WEBHOOK_SUSPENDED,
    EventKind.ACCESS_WEBHOOK_TAKEN_OVER, EventKind.ACCESS_WEBHOOK_REPLAYED, EventKind.ACCESS_WEBHOOK_SECRET_ROTATED,
    EventKind.ACCESS_WEBHOOK_DELETED, EventKind.ACCESS_INVITATION_SENT, EventKind.ACCESS_INVITATION_ACCEPTED,
    EventKind.ACCESS_SECOND_FACTOR_ADDED, EventKind.ACCESS_SECOND_FACTOR_REMOVED, EventKind.ACCESS_PASSWORD_SET,
    EventKind.ACCESS_PASSWORD_CHANGED, EventKind.ACCESS_PASSWORD_RESET, EventKind.ACCESS_PASSWORD_LINK_SENT,
    EventKind.ACCESS_ADDRESS_CHANGED, EventKind.ACCESS_ACCOUNT_CREATED, EventKind.ACCESS_ACCOUNT_DEACTIVATED,
    EventKind.ACCESS_ACCOUNT_REACTIVATED, EventKind.ACCESS_ACCOUNT_ERASED, EventKind.ACCESS_OPERATOR_MADE,
    EventKind.ACCESS_OPERATOR_ENDED, EventKind.ACCESS_OPERATOR_REACTIVATED, EventKind.ACCESS_REQUEST_MADE,
    EventKind.ACCESS_REQUEST_CONFIRMED, EventKind.ACCESS_DATA_EXPORTED, EventKind.ACCESS_PLAN_CREATED,
    EventKind.ACCESS_PLAN_EDITED,
}  # fmt: skip

# Names of URLs: what is only read, a preview that changes nothing yet, or about something else than consent.
CONSOLE = {
    "account", "data-controls", "history", "history-export", "my-choices", "notifications", "opt-out-help", "overview",
    "own-settings", "own-way", "own-why", "profile", "receipt", "receipt-file", "seen", "settings", "statement",
    "verify", "way", "webhooks", "words",
}  # fmt: skip
ADMIN = {
    "accounts_apikey_add", "accounts_apikey_change", "accounts_apikey_made", "accounts_apikey_revoke",
    "accounts_apikey_take_over", "accounts_member_add", "accounts_plan_add", "accounts_plan_change",
    "accounts_subscription_add", "accounts_subscription_change", "accounts_user_add", "accounts_user_change",
    "accounts_user_password_link", "accounts_user_second_factors", "bulk", "consent_bulkjob_add",
    "consent_bulkjob_change", "consent_bulkjob_file", "consent_bulkjob_state", "consent_bulkjob_undo",
    "consent_consentevent_add", "consent_consentevent_change", "consent_consumer_add", "consent_consumer_change",
    "consent_consumer_edit", "consent_consumer_key", "consent_consumer_verb", "consent_lock_add",
    "consent_lock_change", "consent_operatorrequest_add", "consent_operatorrequest_change",
    "consent_privacysetting_add", "consent_privacysetting_change", "consent_trainingrun_acknowledge",
    "consent_trainingrun_add", "consent_trainingrun_change", "consent_trainingrun_issue",
    "consent_trainingrun_manifest", "consent_trainingrun_retire", "consent_webhookendpoint_add",
    "consent_webhookendpoint_change", "consent_webhookendpoint_replay", "consent_webhookendpoint_secret",
    "consent_webhookendpoint_verb", "import", "import_file", "products", "search", "why", "wording", "wordings",
    # Django's own.
    "app_list", "autocomplete", "index", "jsi18n", "login", "logout", "password_change", "password_change_done",
    "view_on_site",
}  # fmt: skip
API = {
    "POST access/v1/evaluation", "POST access/v1/evaluations", "POST api/v1/decisions/", "POST api/v1/decisions/batch/",
    "DELETE api/v1/api-keys/<str:key>/", "POST api/v1/api-keys/", "POST api/v1/api-keys/<str:key>/take-over",
    "DELETE api/v1/webhooks/<str:webhook>/", "PATCH api/v1/webhooks/<str:webhook>/", "POST api/v1/webhooks/",
    "POST api/v1/webhooks/<str:webhook>/attempts/<str:attempt>/resend/", "POST api/v1/webhooks/<str:webhook>/replay/",
    "POST api/v1/webhooks/<str:webhook>/rotate-secret/", "POST api/v1/webhooks/<str:webhook>/take-over/",
    "POST api/v1/webhooks/<str:webhook>/test/", "PUT api/v1/consumers/<str:consumer>/position/",
    "POST api/v1/training-runs/", "POST api/v1/training-runs/<str:run>/retire/",
    "POST api/v1/training-runs/<str:run>/removal-batches/",
    "POST api/v1/training-runs/<str:run>/removals/<str:batch>/acknowledge/",
    # An undo is a preview; a job that loosens waits for the end of the quarantine, paused or not.
    "POST api/v1/bulk-jobs/<str:job>/undo/", "POST api/v1/bulk-jobs/<str:job>/pause/",
    "POST api/v1/bulk-jobs/<str:job>/resume/",
}  # fmt: skip
COMMANDS = {
    "backup", "create_api_key", "create_operator", "erase_salt", "explain", "export", "export_log", "export_snapshot",
    "export_state", "filter_records", "log_resume", "make_log_key", "register_run", "removals", "rotate_secrets",
    "verify_ledger", "verify_manifest", "verify_receipt",
    # It ends the quarantine, once what was lost is denied; the others begin with an empty database.
    "restore", "demo", "import_state",
    # It passes over jobs that loosen: tested with the jobs.
    "worker",
}  # fmt: skip

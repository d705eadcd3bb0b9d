"""URLs of the console."""

from django.urls import path

from . import (
    account,
    data_controls,
    history,
    history_export,
    members,
    notifications,
    opt_out_help,
    organization,
    own_why,
    profile,
    receipts,
    settings,
    verify,
    way,
    webhooks,
    words,
)

app_name = "console"

urlpatterns = [
    path("o/<str:org>/", organization.overview, name="overview"),
    path("o/<str:org>/le-chat/", organization.le_chat, name="le-chat"),
    path("o/<str:org>/privacy/", organization.privacy, name="privacy"),
    path("o/<str:org>/members/", members.members, name="members"),
    path("o/<str:org>/history/", history.history, name="history"),
    path("o/<str:org>/history/statement/", history.statement, name="statement"),
    path("o/<str:org>/history/seen/", history.seen, name="seen"),
    path("o/<str:org>/history/<str:form>/", history_export.history_export, name="history-export"),
    path("o/<str:org>/way/<str:number>/", way.way, name="way"),
    path("o/<str:org>/settings/", settings.settings, name="settings"),
    path("o/<str:org>/webhooks/", webhooks.webhooks, name="webhooks"),
    path("settings/", account.settings, name="own-settings"),
    path("settings/account/", account.account, name="account"),
    path("settings/profile/", profile.profile, name="profile"),
    path("settings/data-controls/", data_controls.data_controls, name="data-controls"),
    path("settings/data-controls/opt-out/", data_controls.opt_out_everywhere, name="opt-out-everywhere"),
    path("settings/data-controls/mine.json", data_controls.download, name="my-choices"),
    path("settings/data-controls/way/<str:number>/", way.own_way, name="own-way"),
    path("settings/notifications/", notifications.notifications, name="notifications"),
    path("settings/data-controls/<str:member>/why/", own_why.own_why, name="own-why"),
    path("settings/data-controls/<str:member>/", data_controls.data_sharing, name="data-sharing"),
    path("words/<str:surface>/<str:number>/", words.words, name="words"),
    path("help/opt-out/", opt_out_help.opt_out, name="opt-out-help"),
    path("receipts/<str:number>/", receipts.receipt, name="receipt"),
    path("receipts/<str:number>/<str:form>/", receipts.receipt_file, name="receipt-file"),
    path("verify/", verify.verify, name="verify"),
]

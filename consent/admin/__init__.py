from . import jobs, keys, ledger, members, organizations, users, webhooks  # noqa: F401  registers the models

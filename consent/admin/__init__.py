from . import jobs, keys, ledger, members, organizations, users  # noqa: F401  registers the models

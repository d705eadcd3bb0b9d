"""The operators' site: lists, forms and pages for the provider's staff."""

from . import consumers, jobs, keys, ledger, members, organizations, plans, requests, runs, users, webhooks  # noqa: F401  registers the models

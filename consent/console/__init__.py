"""The pages for people and organizations: settings, members, history, webhooks."""

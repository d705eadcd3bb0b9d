"""Imports: files of organizations, members, subscriptions or choices are read, checked, and applied as jobs."""

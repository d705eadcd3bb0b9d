"""Formats of dates and numbers, for each language."""

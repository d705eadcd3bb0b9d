"""Replacements for two commands of Django that would pass by the portal's rules."""

"""Changes of many organizations at once: previewed, approved by a second person, run in chunks, undone."""

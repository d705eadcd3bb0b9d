"""Adopting a database that was restored to an earlier moment, without un-saying what was said since."""

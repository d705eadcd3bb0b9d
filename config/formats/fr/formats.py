"""French formats: Django's, with the time after a comma."""

DATETIME_FORMAT = "j F Y, H:i T"

"""French formats: Django's, with the time after a comma."""

DATETIME_FORMAT = "j F Y, H:i T"
YEAR_MONTH_FORMAT = "N Y"
MONTH_DAY_FORMAT = "j N"

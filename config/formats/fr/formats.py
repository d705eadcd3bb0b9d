"""French: as Django has it, with the time after a comma."""

DATETIME_FORMAT = "j F Y, H:i"

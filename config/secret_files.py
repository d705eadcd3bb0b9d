"""Secrets of the settings that may be in a file of their own, as orchestrators mount them."""

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

_FILE = "file://"


def from_file(value: str) -> str:
    """The value itself, or what is in the file that it names: file:///run/secrets/log. Without space around it.

    Raises ImproperlyConfigured if that file can't be read, or is empty.
    """
    value = value.strip()
    if not value.startswith(_FILE):
        return value
    path = value.removeprefix(_FILE)
    try:
        found = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"A setting names the file {path}, which can't be read: {error}.") from None
    if not found:
        raise ImproperlyConfigured(f"A setting names the file {path}, which is empty.")
    return found

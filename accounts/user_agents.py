"""A browser and its system in words, from the `User-Agent` that it sends."""

from django.utils.translation import gettext as _
from ua_parser import parse_os, parse_user_agent

# What the table of ua-parser calls otherwise than people do.
_KNOWN_AS = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "HeadlessChrome": "Chromium",
    "Mac OS X": "macOS",
    "Mobile Safari": "Safari",
}


def in_words(user_agent: str) -> str:
    """`Firefox on Windows`; what is not known is left out."""
    browser, system = parse_user_agent(user_agent), parse_os(user_agent)
    names = [_KNOWN_AS.get(each.family, each.family) for each in (browser, system) if each]
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": names[0], "system": names[1]}
    return names[0] if names else _("A browser that doesn't say which")

"""Which addresses webhooks may call: no internal network, however it is spelled or resolved (protection from SSRF)."""

import ipaddress
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import idna
from django.conf import settings
from django.utils.translation import gettext as _

from ..errors import Invalid

LENGTH = 500
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# In addition to what `ipaddress` knows as not global: IPv6 ranges that embed IPv4 addresses, and services of clouds.
_REFUSED = [
    ipaddress.ip_network(each)
    for each in (
        "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::ffff:0:0/96", "::ffff:0:0:0/96", "::/96",
        "fec0::/10", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24",
    )
]  # fmt: skip
_LONGEST_NAME = 253
# A label of a host name (RFC 1123), as in certificates: stricter than what some libraries accept.
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# A last label that some parsers read as a number, decimal, octal or hexadecimal, and so the host as an IPv4 address.
_NUMBER = re.compile(r"\d+|0[Xx][0-9A-Fa-f]*")


class Refused(Exception):
    """The address is not allowed; the message says which."""


def is_allowed(address: _Address) -> bool:
    """Whether the address is public, or in a network of WEBHOOK_ALLOWED_NETWORKS."""
    if any(address in network for network in _allowed_networks() if network.version == address.version):
        return True
    if any(address in network for network in _REFUSED if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _allowed_networks() -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for text in settings.WEBHOOK_ALLOWED_NETWORKS:
        yield ipaddress.ip_network(text, strict=False)


def resolve(host: str, port: int) -> list[str]:
    """The addresses to connect to, all of them allowed. Raises Refused; OSError if the name can't be resolved.

    One address that is not allowed refuses the whole name: DNS that names an internal address can't be trusted.
    """
    found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for text in found:
        if not is_allowed(ipaddress.ip_address(text.partition("%")[0])):
            raise Refused(f"{host} is {text}, an address that webhooks are not sent to")
    return list(dict.fromkeys(found))


def checked_url(text: str) -> str:
    """The URL as it is stored. Raises Invalid; what its host resolves to is checked at each connection."""
    url = text.strip(" ")
    if not url or len(url) > LENGTH or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Invalid(
            "url", _("Give an address of at most %s characters, like https://example.com/hook.") % LENGTH, "url"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("url", _("This is not a valid address."), "url") from None
    if parts.scheme != "https" and not (settings.DEBUG and parts.scheme == "http"):
        raise Invalid("url", _("The address has to begin with https://."), "url")
    if parts.username is not None or parts.password is not None or "#" in url or port == 0:
        raise Invalid("url", _("The address can't contain a user, a password or a fragment."), "url")
    # Not `parts.hostname`: it normalizes the spelling that is to be checked.
    host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
    literal = _literal(host)
    if literal is None and not is_name(host):
        raise Invalid("url", _("The host of this address can't be called."), "url")
    if literal is not None and not is_allowed(literal):
        raise Invalid("url", _("Webhooks are not sent to this network."), "url")
    return url


def _literal(host: str) -> _Address | None:
    """The IP address that the host is, in standard notation; None for anything else."""
    try:
        if host.startswith("[") and host.endswith("]"):
            return ipaddress.IPv6Address(host[1:-1]) if "%" not in host else None
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def is_name(host: str) -> bool:
    """Whether all libraries read the host as a name: no number (127.1, 0x7f000001), and valid labels, IDNA included."""
    labels = host.split(".")
    if len(host) > _LONGEST_NAME or _NUMBER.fullmatch(labels[-1]):
        return False
    return all(_LABEL.fullmatch(label) and _is_idna(label) for label in labels)


def _is_idna(label: str) -> bool:
    """Whether a label that begins with "xn--" decodes as IDNA; True for any other label."""
    if not label.lower().startswith("xn--"):
        return True
    try:
        return bool(idna.ulabel(label))
    except UnicodeError:
        return False

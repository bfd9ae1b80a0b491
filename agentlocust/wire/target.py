"""Where calls go, and which key may go there."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from agentlocust.errors import ConfigError

_HOST = re.compile(r"[a-z0-9._~-]+|[0-9a-f:.]+(?:%[a-z0-9._~-]+)?")
_PATH = re.compile(r"[!-~]*")  # what may stand in a request line


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what a connection is to, and what a key is bound to."""

    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True when the host can only be this machine."""
        if self.host == "localhost":  # a name below it is the resolver's to place anywhere
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def may_carry_key(self) -> bool:
        """A key never travels over plain http, except to this machine."""
        return self.scheme == "https" or self.is_loopback

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host_header}"


@dataclass(frozen=True, slots=True)
class Target:
    """A base URL: an origin and a path prefix without a trailing slash."""

    origin: Origin
    prefix: str = ""

    @classmethod
    def parse(cls, url: str, *, where: str = "--host") -> Target:
        """Read a base URL. Raises ConfigError when it is not http(s) or names no host."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{url!r} is not a URL: {error}", where=where) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            hint = "write it as https://api.openai.com" + (", or mock" if where == "--host" else "")
            raise ConfigError(f"{url!r} is not an http(s) URL", where=where, hint=hint)
        if parts.username or parts.password:
            raise ConfigError(
                "a URL must not hold a user name or password", where=where, hint="keys come from the environment"
            )
        if parts.query or parts.fragment:
            raise ConfigError(f"{url!r} has a query or fragment", where=where, hint="give only the base URL")
        if port == 0 or not _PATH.fullmatch(parts.path):
            raise ConfigError(f"{url!r} is not a URL a request can be sent to", where=where, hint="check port and path")
        origin = Origin(
            parts.scheme, _ascii_host(parts.hostname, where), port or (443 if parts.scheme == "https" else 80)
        )
        return cls(origin, parts.path.rstrip("/"))

    def path_of(self, path: str) -> str:
        """The request path of an API path such as `/v1/chat/completions` below this base.

        A base that already ends in the API's version (`https://host/v1`) is not given it twice.
        """
        version = path.split("/", 2)[1]
        if self.prefix.endswith(f"/{version}"):
            return self.prefix + path[len(version) + 1 :]
        return self.prefix + path

    def __str__(self) -> str:
        return f"{self.origin}{self.prefix}"


def _ascii_host(host: str, where: str) -> str:
    """The host as it goes on the wire. Raises ConfigError."""
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        raise ConfigError(f"{host[:80]!r} is not a host", where=where, hint="write it as https://api.openai.com")
    return name


@dataclass(frozen=True, slots=True)
class Key:
    """A secret bound to one origin. It never shows itself."""

    value: str
    origin: Origin

    def __repr__(self) -> str:
        return "Key(***)"

    def usable_for(self, origin: Origin) -> bool:
        """True when the key may be sent there: its own origin, over a safe channel."""
        return bool(self.value) and origin == self.origin and origin.may_carry_key


def key_from_environment(variable: str, origin: Origin) -> Key:
    """The key in an environment variable, bound to the origin that the run was pointed at."""
    return Key(os.environ.get(variable, "").strip(), origin)

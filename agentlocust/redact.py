"""Text that came from elsewhere, made safe to keep and to show: no secrets, no control characters, short.

Every text from a server, a tool or an exception passes through here before it is stored.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

MASK = "***"
MIN_SECRET = 8  # shorter values are too likely to be ordinary words
SAMPLE_LENGTH = 200
_LONGEST_SECRET = 1000
_NAME_LENGTH = 80
_NAMES_KEPT = 1000
_SECRETS_KEPT = 100  # each makes every search longer

_SECRET_NAME = re.compile(
    r"(?:\A|_)(?:(?:API|ACCESS|PRIVATE|SECRET|AUTH|SUBSCRIPTION)_?KEY(?:_ID)?|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)\Z",
    re.IGNORECASE,
)

_CREDENTIAL_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})

# What secrets look like, for those that no environment variable holds.
_PATTERNS = (
    (re.compile(r"\b(sk|rk|pk)[-_][A-Za-z0-9_\-*.…]{8,}"), MASK),  # OpenAI, Anthropic, Stripe; also half masked
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),  # AWS
    (re.compile(r"\bAIza[0-9A-Za-z_\-]{30,}"), MASK),  # Google
    (re.compile(r"\b(?:gh[oprsu]|github_pat|hf|gsk|xox[abprs]|glpat)[-_][A-Za-z0-9_\-]{10,}"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*)?"), MASK),  # JWT
    (re.compile(r"(?i)\b(bearer|basic)(\s+|%20|\+)[A-Za-z0-9._~+/=%\-]{6,}"), rf"\1\2{MASK}"),
    (
        re.compile(
            r"(?i)\b((?:x[-_])?api[-_]?key|authorization|x-goog-api-key|access[-_]token|client[-_]secret|password)"
            r"""(\\?["']?\s*[:=]\s*\\?["']?)(?!\s*(?:bearer|basic)\b)([^\s"'\\,;&]{4,})"""
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]{1,20}://)[^\s/@:]{0,200}:[^\s/@]{1,200}@"), rf"\1{MASK}@"),
)

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)?"  # OSC: titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b\x9c]{0,4096}(?:\x1b\\|\x9c)?"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, the cursor
    r"|\x1b[ -/]*[0-~]?"
)
# C0, C1, and what turns or hides text: bidi controls, zero widths, tags, line separators, lone surrogates.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_BREAKS = re.compile("[\t\n\v\f\r\x85\u2028\u2029]")
_SPACES = re.compile(r"\s+")

_VOLATILE = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    (re.compile(r"\b(?:req|msg|chatcmpl|resp|call|toolu|run|org|proj|user)[-_](?=\w*\d)[A-Za-z0-9_\-]{6,}"), "<id>"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{12,}\b"), "<id>"),
    (re.compile(r"\b(?=[A-Za-z_]*\d)(?=\d*[A-Za-z_])\w{16,}\b"), "<id>"),
    # Not in the names of models, such as gpt-4.1 or gpt-4o-2024-08-06, nor in HTTP statuses.
    (re.compile(r"(?<![\w.\-])\d+\.\d+(?![\d.])"), "<n>"),
    (re.compile(r"(?<![\w\-])\d{4,}(?!-?\d)|(?<=[A-Za-z_])\d{6,}"), "<n>"),
)


def terminal_safe(text: str) -> str:
    """The text on one line without escape sequences, control or bidi characters."""
    text = _ESCAPES.sub("", text)
    return _SPACES.sub(" ", _CONTROLS.sub("", _BREAKS.sub(" ", text))).strip()


def cut(text: str, limit: int = SAMPLE_LENGTH) -> str:
    """The text, or its beginning and an ellipsis, in at most `limit` characters."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"


def normalise(text: str) -> str:
    """The text with what differs from one failure to the next (ids, times, long numbers) replaced by its kind."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return text


def secrets_in(environ: Mapping[str, str]) -> frozenset[str]:
    """The values of environment variables whose names say that they are secret."""
    return frozenset(value for name, value in environ.items() if len(value) >= MIN_SECRET and _SECRET_NAME.search(name))


def secrets_in_headers(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The values of headers whose names say that they are secret, without the scheme before them."""
    return frozenset(
        value.split(maxsplit=1)[-1]
        for name, value in headers
        if value.strip() and (name.lower() in _CREDENTIAL_HEADERS or _SECRET_NAME.search(name.replace("-", "_")))
    )


class Scrubber:
    """Replaces secrets by `***`: known values in every form they travel in, and whatever looks like one."""

    __slots__ = ("_known", "_names", "_secrets")

    def __init__(self, secrets: Iterable[str] = (), environ: Mapping[str, str] | None = None) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self._names: dict[str, str] = {}
        self.know({*secrets, *secrets_in(environ or {})})

    def know(self, secrets: Iterable[str]) -> None:
        """Replace these too, from now on; once a hundred are known, no more are learnt."""
        known = self._secrets | {secret for secret in secrets if len(secret) >= MIN_SECRET}
        if known == self._secrets or len(self._secrets) >= _SECRETS_KEPT:
            return
        self._secrets = known
        self._names.clear()
        forms = {form for secret in known for form in _forms(secret)}
        ordered = sorted(forms, key=len, reverse=True)  # a secret that holds another goes first
        self._known = re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE)

    def scrub(self, text: str) -> str:
        """The text without secrets, otherwise as it was."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, mask in _PATTERNS:
            text = pattern.sub(mask, text)
        return text

    def clean(self, text: str, limit: int = SAMPLE_LENGTH) -> str:
        """The text without secrets or control characters, on one line of at most `limit` characters.

        It is cut only after it is scrubbed, so that no half of a secret is left at the cut.
        """
        # A bound on the work that a hostile server can cause; half a secret may be left at its end.
        bound = max(limit, SAMPLE_LENGTH) * 20
        scrubbed = self.scrub(text[:bound])
        if len(text) > bound:
            scrubbed = scrubbed[:-_LONGEST_SECRET]
        return cut(self.scrub(terminal_safe(scrubbed)), limit)

    def name(self, text: str) -> str:
        """A name that someone else chose (a tool's, an agent's, a model's), `clean` and remembered."""
        name = self._names.get(text)
        if name is None:
            name = self.clean(text, _NAME_LENGTH)
            if len(self._names) < _NAMES_KEPT and len(text) <= _NAME_LENGTH:
                self._names[text] = name
        return name

    def sample(self, text: str, limit: int = SAMPLE_LENGTH) -> str:
        """`clean`, and `normalise`d: what a million failures of one cause have in common."""
        return cut(normalise(self.clean(text, limit * 4)), limit)

    def __repr__(self) -> str:
        return "<Scrubber>"


def _forms(secret: str) -> set[str]:
    """The secret as it looks in plain text, in URLs, in JSON and in base64 (wherever it starts there)."""
    raw = secret.encode("utf-8", "surrogatepass")
    in_json = json.dumps(secret)[1:-1]
    forms = {
        secret,
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
        quote(secret, errors="replace"),
        in_json,
        json.dumps(in_json)[1:-1],  # JSON within JSON
        json.dumps(secret, ensure_ascii=False)[1:-1],
        in_json.replace("/", "\\/"),
        repr(secret)[1:-1],
        raw.hex(),
    }
    for shift in range(3):
        # The characters at either end also hold bits of the neighbours: they are left out.
        start = -(-shift * 8 // 6)
        end = (shift + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(b"\0" * shift + raw).decode()[start:end])
    return {form for form in forms if len(form) >= MIN_SECRET}

"""What a passage turned out to be, read from its copy: the same judgement as our own wire's.

A reply is read some events at a time, so that what passes meanwhile is not kept waiting.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator
from hashlib import blake2b

from agentlocust.backoff import retry_after
from agentlocust.dialects.base import Decoded, Dialect
from agentlocust.dialects.failed import read_failure, read_unexpected
from agentlocust.dialects.sse import EventSplitter
from agentlocust.errors import WireError
from agentlocust.failures import Failure, FailureKind
from agentlocust.pricing import PriceBook
from agentlocust.proxy.passage import Passage
from agentlocust.proxy.record import Attempt
from agentlocust.redact import Scrubber
from agentlocust.tokens import TokenCounter
from agentlocust.usage import Usage

EVENTS_AT_ONCE = 12  # some 0.1 ms
_ERROR_BYTES = 64 * 1024
_SECRET_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"cookie", b"proxy-authorization", b"x-goog-api-key")
_LONGEST_WAIT_S = 24 * 3600.0
_MAX_NAME = 200

Chunks = list[tuple[int, bytes]]


def secrets_of(passage: Passage) -> list[str]:
    """The values of a request's headers that nobody may see."""
    values = [passage.head.text(name) for name in _SECRET_HEADERS]
    return [part for value in values if value for part in {value, value.rpartition(" ")[2]}]


def decoded_chunks(passage: Passage) -> Chunks | None:
    """The reply's content with its encoding undone, stamped; None when it cannot be."""
    if not passage.readable or passage.reply is None:
        return None
    encoding = passage.reply.text(b"content-encoding").strip().lower()
    if encoding in ("", "identity"):
        return passage.chunks
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    found: Chunks = []
    unpacker = None
    size = 0
    try:
        for stamp, data in passage.chunks:
            if unpacker is None:
                bits = zlib.MAX_WBITS | 16 if encoding != "deflate" else zlib.MAX_WBITS
                if encoding == "deflate" and data[0] & 0x0F != zlib.DEFLATED:
                    bits = -zlib.MAX_WBITS
                unpacker = zlib.decompressobj(bits)
            plain = unpacker.decompress(data, 16 * 1024 * 1024)
            size += len(plain)
            if size > 16 * 1024 * 1024:
                return None
            if plain:
                found.append((stamp, plain))
    except zlib.error:
        return None
    return found


def read(passage: Passage, counter: TokenCounter, prices: PriceBook | None) -> Generator[str, None, Attempt]:
    """The record of a passage. Yields now and then: "", or the model whose encoding is to be loaded."""
    dialect, reply = passage.dialect, passage.reply
    asked = _asked(passage) if dialect is not None else {}
    model = str(asked.get("model", ""))[:_MAX_NAME]
    status = reply.status if reply is not None else passage.own
    decoded, failure, streamed = Decoded(), None, False
    chunks = decoded_chunks(passage) or []
    if dialect is not None:
        streamed = asked.get("stream") is True and b"json" not in (reply.get(b"content-type") if reply else b"").lower()
        if 200 <= status < 300:
            decoded = yield from _decode(passage, dialect, chunks, streamed=streamed)
        failure = _judge(
            passage, dialect, chunks, decoded, streamed=streamed, asked_to_stream=asked.get("stream") is True
        )
    else:
        failure = _judge_tool(passage, chunks, status)
    if dialect is not None and _must_count(decoded, failure, status) and not counter.ready(plain_model(model)):
        yield plain_model(model)
    usage = _usage(decoded, failure, status, asked, model, counter) if dialect is not None else Usage()
    message = ""
    if failure is not None:
        message = Scrubber(secrets_of(passage)).sample(failure.message)
    tokens = tuple(decoded.token_ns)
    ended_ns = passage.ended_ns
    if failure is None and tokens:
        ended_ns = tokens[-1]
    elif failure is None and passage.chunks:
        ended_ns = passage.chunks[-1][0]
    return Attempt(
        passage.started_ns,
        ended_ns,
        passage.head.method.decode(),
        passage.path.partition("?")[0][:_MAX_NAME],
        tool=passage.tool,
        dialect=dialect.name if dialect is not None else "",
        model=model,
        replied=decoded.model[:_MAX_NAME],
        run=passage.run,
        run_name=passage.run_name,
        by=passage.by,
        number=passage.number,
        key=_key(passage),
        status=status,
        own=passage.own,
        failure=str(failure.kind) if failure is not None else "",
        message=message,
        left=passage.left,
        streamed=streamed,
        first_byte_ns=passage.first_byte_ns,
        last_byte_ns=passage.chunks[-1][0] if passage.chunks else 0,
        first_output_ns=decoded.first_output_ns,
        token_ns=tokens,
        frame_ns=tuple(decoded.frame_ns),
        request_bytes=passage.request_size,
        response_bytes=passage.reply_size,
        usage=usage,
        cost_picousd=cost_of(prices, decoded.model, model, usage)
        if prices is not None and dialect is not None
        else None,
        faults=passage.faults,
        metered=passage.metered,
        retry_after_s=retry_after(lambda name: reply.text(name.encode())) if reply else passage.own_retry_after_s,
    )


def cost_of(prices: PriceBook, replied: str, asked: str, usage: Usage) -> int | None:
    """What usage costs: what answered is what is billed. None without a price."""
    price = (prices.price(replied) if replied else None) or prices.price(plain_model(asked))
    if price is None:
        return None if usage.total else 0
    return price.cost(usage)


def plain_model(name: str) -> str:
    """A model's name without what tells the embedded mock how to behave."""
    clean, at, spec = name.partition("@")
    return clean if at and "=" in spec else name


def _asked(passage: Passage) -> dict[str, object]:
    try:
        value = json.loads(passage.asked or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _key(passage: Passage) -> str:
    digest = blake2b(passage.path.encode("latin-1", "replace") + b"\0" + passage.asked, digest_size=12)
    return digest.hexdigest()


def _decode(passage: Passage, dialect: Dialect, chunks: Chunks, *, streamed: bool) -> Generator[str, None, Decoded]:
    complete = passage.complete and passage.problem is None
    if not streamed:
        return dialect.read_body(b"".join(data for _, data in chunks)) if complete else Decoded()
    reader = dialect.stream_reader(strict=True)
    splitter = EventSplitter()
    fed = 0
    try:
        for stamp, chunk in chunks:
            for event in splitter.feed(stamp, chunk):
                reader.feed(*event)
                fed += 1
                if fed % EVENTS_AT_ONCE == 0:
                    yield ""
        if complete:
            for event in splitter.flush():
                reader.feed(*event)
    except WireError as error:
        decoded = reader.finish(complete=False)
        decoded.failure = Failure(FailureKind(error.kind), error.args[0])
        return decoded
    return reader.finish(complete=complete)


def _judge(
    passage: Passage, dialect: Dialect, chunks: Chunks, decoded: Decoded, *, streamed: bool, asked_to_stream: bool
) -> Failure | None:
    reply = passage.reply
    status = reply.status if reply is not None else 0
    if passage.own and passage.problem is not None:
        return Failure(FailureKind(passage.problem[0]), passage.problem[1], passage.own)
    if status and not 200 <= status < 300:
        return dialect.read_failure(status, _joined(chunks))
    if passage.problem is not None and passage.faults:  # the client did not get what came
        return Failure(FailureKind(passage.problem[0]), passage.problem[1], status)
    if decoded.terminal and decoded.failure is None:
        return None
    if passage.left:
        return Failure(FailureKind.CLIENT, "the agent gave the call up before its reply was whole", status)
    if decoded.failure is not None and decoded.failure.kind is not FailureKind.TRUNCATED_STREAM:
        return decoded.failure
    if passage.problem is not None:
        kind = FailureKind(passage.problem[0])
        if kind is FailureKind.TRUNCATED_STREAM and not streamed:
            kind = FailureKind.RESET
        return Failure(kind, passage.problem[1], status)
    if not passage.complete:
        return Failure(FailureKind.CLIENT, "the agent gave the call up before its reply was whole", status)
    content_type = reply.text(b"content-type").lower() if reply is not None else ""
    if asked_to_stream and not decoded.token_ns and "event-stream" not in content_type and "json" not in content_type:
        return read_unexpected(content_type, _joined(chunks))
    return decoded.failure


def _judge_tool(passage: Passage, chunks: Chunks, status: int) -> Failure | None:
    if passage.problem is not None:
        return Failure(FailureKind(passage.problem[0]), passage.problem[1], status)
    if passage.left:
        return Failure(FailureKind.CLIENT, "the agent gave the request up before its reply was whole", status)
    if status >= 400:
        return read_failure(status, _joined(chunks))
    return None


def _joined(chunks: Chunks) -> bytes:
    head: list[bytes] = []
    size = 0
    for _, data in chunks:
        head.append(data)
        size += len(data)
        if size >= _ERROR_BYTES:
            break
    return b"".join(head)[:_ERROR_BYTES]


def _usage(
    decoded: Decoded, failure: Failure | None, status: int, asked: dict[str, object], model: str, counter: TokenCounter
) -> Usage:
    """What was used: told by the server, else counted here and flagged as estimated."""
    told = decoded.usage
    if not _must_count(decoded, failure, status):
        return told or Usage()
    model = plain_model(model)
    reasoning = counter.count(decoded.reasoning, model)[0] if decoded.reasoning else 0
    text = decoded.text + decoded.refusal + "".join(call.name + call.arguments_json for call in decoded.tool_calls)
    output = reasoning + (counter.count(text, model)[0] if text else 0)
    if told is not None:
        return Usage(
            told.uncached_input,
            told.cache_read,
            told.cache_write_5m,
            told.cache_write_1h,
            max(told.output, output),
            max(told.reasoning, reasoning),
            estimated=True,
        )
    return Usage(counter.count_request(asked, model), output=output, reasoning=reasoning, estimated=True)


def _must_count(decoded: Decoded, failure: Failure | None, status: int) -> bool:
    """Whether something was generated of which the server did not tell, or not to the end."""
    filtered = failure is not None and failure.kind is FailureKind.CONTENT_FILTER and status < 300
    whole = failure is None or filtered
    if decoded.usage is not None and (whole or decoded.terminal or decoded.finish_reason):
        return False
    return bool(decoded.token_ns) or (whole and status != 0)

"""The pure parts of the HTTP limits: framing, times, slots, streams, turns."""

from __future__ import annotations

import itertools
import resource

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import TooMany, Unavailable
from pearlstreet.http.addresses import TrustedProxies, address_key
from pearlstreet.http.connection_limiter import ConnectionLimiter, Slot
from pearlstreet.http.descriptors import CONNECTIONS_MIN, permitted_connections, raise_descriptor_limit
from pearlstreet.http.limits import HttpLimits
from pearlstreet.http.pipeline_turns import PipelineTurns
from pearlstreet.http.refusals import Reason, RefusalLog
from pearlstreet.http.request_body import BodyBudget, check_encoding
from pearlstreet.http.request_guard import LimitExceededError, Phase, RequestGuard
from pearlstreet.http.request_limiter import RequestLimiter
from pearlstreet.http.stream_limiter import StreamLimiter


class Parsed:
    """Requests as llhttp reads them under a guard."""

    def __init__(self, limits: HttpLimits | None = None) -> None:
        self.guard = RequestGuard(limits or HttpLimits(), 0.0)
        self.parser = httptools.HttpRequestParser(self)
        self.requests = 0
        self.body = b""
        self.length: int | None = 0

    def feed(self, data: bytes) -> None:
        """Parse as a server does, each request answered at once."""
        at = 0
        while at < len(data):
            stop = self.guard.next_piece(data, at)
            assert at < stop <= len(data)
            self.guard.before_piece(stop - at, 0.0)
            try:
                self.parser.feed_data(data[at:stop])
            except httptools.HttpParserCallbackError as error:
                assert isinstance(error.__context__, LimitExceededError)
                raise error.__context__ from None
            self.guard.after_piece()
            if self.guard.phase is Phase.RESPONSE:
                self.guard.end_response(0.0)
            at = stop

    def on_message_begin(self) -> None:
        self.guard.begin_message()
        self.length = 0

    def on_url(self, url: bytes) -> None:
        self.guard.add_url(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.guard.add_header()
        if name.lower() == b"content-length":
            self.length = int(value)
        if name.lower() == b"transfer-encoding":
            self.length = None

    def on_headers_complete(self) -> None:
        self.guard.end_header(self.length)

    def on_chunk_header(self) -> None:
        self.guard.begin_chunk()

    def on_body(self, body: bytes) -> None:
        self.guard.add_body(len(body))
        self.body += body

    def on_message_complete(self) -> None:
        self.guard.end_message()
        self.requests += 1


def _request(body: bytes, chunk: int) -> bytes:
    if not chunk:
        return b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    parts = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


BODIES = st.one_of(
    st.binary(max_size=300), st.sampled_from([b"\r\n\r\n" * 40, b"0\r\n\r\n" * 9, b"x" * 20_000])
)


@given(
    st.lists(st.tuples(BODIES, st.integers(0, 40)), min_size=1, max_size=6), st.lists(st.integers(0, 30_000))
)
def test_honest_requests_pass_however_their_bytes_are_cut(
    requests: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    wire = b"".join(_request(body, chunk) for body, chunk in requests)
    places = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    parsed = Parsed()
    for start, end in itertools.pairwise(places):
        parsed.feed(wire[start:end])
    assert parsed.requests == len(requests)
    assert parsed.body == b"".join(body for body, _ in requests)


def test_a_request_of_exactly_the_limits_passes_and_one_more_does_not() -> None:
    head = b"GET / HTTP/1.1\r\n"
    for extra in (0, 1):
        value = b"a" * (64 * 1024 - len(head) - len(b"x: \r\n\r\n") + extra)
        _expect(head + b"x: " + value + b"\r\n\r\n", Reason.HEADER_BYTES if extra else None)
        _expect(head + b"a: b\r\n" * (100 + extra) + b"\r\n", Reason.HEADER_FIELDS if extra else None)
        _expect(
            b"GET /" + b"a" * (16 * 1024 - 1 + extra) + b" HTTP/1.1\r\n\r\n",
            Reason.REQUEST_LINE if extra else None,
        )


CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\r\n" * 40_000, Reason.HEADER_BYTES),
        (CHUNKED + b"1;x=" + b"a" * 40_000, Reason.CHUNK_OVERHEAD),
        (CHUNKED + b"1;a=bcdefghijklmnopqrstuvwxyz\r\nx\r\n" * 4_000, Reason.CHUNK_OVERHEAD),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * 101 + b"\r\n", Reason.HEADER_FIELDS),
        (CHUNKED + b"0\r\na: " + b"b" * 40_000, Reason.CHUNK_OVERHEAD),
    ],
    ids=["empty lines", "endless extension", "many extensions", "trailers", "endless trailer"],
)
def test_what_has_no_end_is_refused(wire: bytes, reason: Reason) -> None:
    _expect(wire, reason)


def _expect(wire: bytes, reason: Reason | None) -> None:
    for step in (len(wire), 1000):
        parsed = Parsed()
        try:
            for start in range(0, len(wire), step):
                parsed.feed(wire[start : start + step])
        except LimitExceededError as error:
            assert error.reason is reason
        else:
            assert reason is None and parsed.requests == 1


def test_a_header_has_a_time_from_its_first_byte() -> None:
    guard = RequestGuard(HttpLimits(header_s=20, keep_alive_s=75), 100.0)
    assert guard.overdue(119, 1, True) is None and guard.overdue(121, 1, True) is Reason.HEADER_TIME
    guard.end_header(0)
    guard.end_message()
    assert guard.overdue(1000, 1, True) is None, "the application takes its time"
    guard.end_response(1000)
    assert guard.overdue(1060, 1, True) is None and not guard.is_keep_alive_over(1060)
    assert guard.is_keep_alive_over(1076)
    guard.before_piece(1, 1070)
    assert not guard.is_keep_alive_over(1076) and guard.overdue(1089, 1, True) is None
    guard.before_piece(1, 1089)
    assert guard.overdue(1091, 1, True) is Reason.HEADER_TIME, "more bytes win no time"


def test_a_body_has_a_rate_and_no_end() -> None:
    guard = RequestGuard(HttpLimits(transfer_bytes_per_s=500, transfer_grace_s=20), 0.0)
    guard.end_header(None)
    for second in range(100_000):
        guard.add_body(600)
        assert guard.overdue(second, 1, True) is None
    assert [guard.overdue(0, 1, True) for _ in range(19)] == [None] * 19, "a pause as long as the grace"
    assert Reason.BODY_RATE in [guard.overdue(0, 1, True) for _ in range(2)]
    slow = RequestGuard(HttpLimits(transfer_bytes_per_s=500, transfer_grace_s=20), 0.0)
    slow.end_header(None)
    assert all(slow.overdue(0, 1, False) is None for _ in range(1000)), "the server is what waits"
    lasted = 0
    while slow.overdue(0, 1, True) is None:
        slow.add_body(100)
        lasted += 1
    assert 20 <= lasted <= 30


class Connection:
    def __init__(self, idle: bool) -> None:
        self.idle, self.aborted = idle, False

    def is_idle(self, now_s: float) -> bool:
        return self.idle

    def abort(self) -> None:
        self.aborted = True


def _admit(limiter: ConnectionLimiter, host: str, idle: bool = True, proxy: bool = False) -> Slot | Reason:
    slot, _ = limiter.admit(host, None if proxy else address_key(host), 0.0)
    if isinstance(slot, Slot):
        slot.connection = Connection(idle)
    return slot


def test_a_full_server_ends_the_oldest_that_asks_for_nothing() -> None:
    limiter = ConnectionLimiter(3, 2)
    busy, first, other = _admit(limiter, "a", idle=False), _admit(limiter, "a"), _admit(limiter, "b")
    assert isinstance(_admit(limiter, "a"), Slot) and _aborted(first) and not _aborted(other)
    assert isinstance(_admit(limiter, "c", idle=False), Slot) and _aborted(other) and not _aborted(busy)
    assert len(limiter) == 3


def test_a_full_server_of_working_connections_refuses() -> None:
    limiter = ConnectionLimiter(3, 2)
    kept = [_admit(limiter, "a", idle=False) for _ in range(2)]
    assert _admit(limiter, "a") is Reason.CONNECTIONS_PER_ADDRESS
    assert isinstance(_admit(limiter, "b", idle=False), Slot)
    assert _admit(limiter, "c") is Reason.CONNECTIONS
    assert isinstance(kept[0], Slot)
    for _ in range(2):
        limiter.release(kept[0])
    assert isinstance(_admit(limiter, "a"), Slot) and len(limiter) == 3


def _aborted(slot: Slot | Reason) -> bool:
    assert isinstance(slot, Slot) and isinstance(slot.connection, Connection)
    return slot.connection.aborted


def test_a_proxy_has_no_limit_of_an_address() -> None:
    limiter = ConnectionLimiter(10, 2)
    assert all(isinstance(_admit(limiter, "p", idle=False, proxy=True), Slot) for _ in range(10))
    proxies = TrustedProxies("127.0.0.1, 10.0.0.0/8")
    assert "10.1.2.3" in proxies and "::ffff:127.0.0.1" in proxies and "192.0.2.1" not in proxies
    assert "x" not in proxies and "10.1.2.3" not in TrustedProxies()


def test_an_ipv6_network_is_one_address() -> None:
    assert address_key("2001:db8::1") == address_key("2001:db8::2:3") != address_key("2001:db8:0:1::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1") != address_key("192.0.2.2")


def test_streams_are_counted_by_user_address_and_in_all() -> None:
    limiter = StreamLimiter(HttpLimits(streams=4, streams_per_address=3, streams_per_user=2))
    tickets = [limiter.open("ann", "192.0.2.1"), limiter.open("ann", "192.0.2.2")]
    with pytest.raises(TooMany, match="a user may have"):
        limiter.open("ann", "192.0.2.3")
    tickets += [limiter.open("bob", "192.0.2.1"), limiter.open("bob", "192.0.2.1")]
    with pytest.raises(TooMany, match="address"):
        limiter.open("cyd", "192.0.2.1")
    with pytest.raises(TooMany, match="center"):
        limiter.open("cyd", "192.0.2.9")
    for ticket in tickets:
        limiter.close(ticket)
    assert len(limiter) == 0
    limiter.open("ann", "192.0.2.1")


def test_requests_of_a_forwarded_address_are_counted() -> None:
    limiter = RequestLimiter(2)
    for _ in range(2):
        limiter.enter(b"a", "a")
    with pytest.raises(TooMany):
        limiter.enter(b"a", "a")
    limiter.enter(b"b", "b")
    limiter.leave(b"a")
    limiter.enter(b"a", "a")


def test_bodies_in_memory_are_bounded() -> None:
    budget = BodyBudget(total=100, per_address=60)
    budget.take(b"a", 60)
    with pytest.raises(TooMany):
        budget.take(b"a", 1)
    budget.take(b"b", 40)
    with pytest.raises(Unavailable):
        budget.take(b"c", 1)
    budget.give_back(b"a", 60)
    budget.take(b"c", 1)
    assert budget.held == 41


def test_only_plain_bodies_are_taken() -> None:
    assert check_encoding({"headers": [(b"content-encoding", b"identity")]}) is None
    assert check_encoding({"headers": [(b"content-encoding", b"gzip")]}) is not None


class Turn:
    def __init__(self, has_more: bool) -> None:
        self.has_more, self.taken = has_more, 0

    def take_turn(self) -> bool:
        self.taken += 1
        return self.has_more


def test_pipelined_requests_take_turns() -> None:
    turns, waiting = PipelineTurns(at_once=2), [Turn(True) for _ in range(3)]
    for turn in waiting:
        turns.ask(turn)
    assert [turn.taken for turn in waiting] == [1, 1, 0]
    turns.ask(Turn(False))
    turns.end()
    assert [turn.taken for turn in waiting] == [1, 1, 1]
    turns.end()
    last = Turn(True)
    turns.ask(last)
    assert last.taken == 1, "who has nothing to ask keeps no turn"


def test_refusals_fill_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines = VirtualClock(), []
    monkeypatch.setattr(
        "pearlstreet.http.refusals.log", type("Log", (), {"warning": lambda _, *a, **k: lines.append(k)})()
    )
    told = RefusalLog(clock)
    for _ in range(1000):
        told.record(Reason.HEADER_BYTES, "192.0.2.1")
    clock.sleep(11)
    told.record(Reason.HEADER_BYTES, "192.0.2.2")
    assert [line["count"] for line in lines] == [1, 1000]


def test_descriptors_are_kept_back() -> None:
    assert permitted_connections(4096, 1 << 20) == 4096
    for descriptors in (64, 256, 512, 1024, 4096):
        permitted = permitted_connections(4096, descriptors)
        assert permitted == CONNECTIONS_MIN or 2 * permitted <= descriptors - min(384, descriptors // 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

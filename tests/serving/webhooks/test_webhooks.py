import asyncio
import base64
import itertools
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from serving.store.deliveries import new_secret
from serving.webhooks.delivery import (
    MOST_ANSWER_BYTES,
    DeliveryKind,
    DeliveryResult,
    send,
    send_async,
)
from serving.webhooks.endpoint_url import (
    CheckedEndpoint,
    EndpointRefusedError,
    EndpointRule,
    EndpointUnresolvedError,
    Resolver,
    check_endpoint,
    system_resolver,
)
from serving.webhooks.retry_schedule import (
    MOST_RETRY_AFTER_SECONDS,
    WAITS_SECONDS,
    next_attempt_after_ms,
    retry_after,
)
from serving.webhooks.signing import signed_headers

BODY = '{"type":"stop_request.created","name":"Müller"}'.encode()
JITTERS = st.floats(min_value=0, max_value=1, exclude_max=True)
ATTEMPTS = st.integers(min_value=0, max_value=len(WAITS_SECONDS) - 1)


class Receiver(ThreadingHTTPServer):
    """A merchant's server: answers what `answer` writes and keeps what it was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Tests hang up on purpose."""


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        self.server.answer(self)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def receiving(
    answer: Callable[[BaseHTTPRequestHandler], None], tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    receiver = Receiver(answer)
    if tls is not None:
        receiver.socket = tls.wrap_socket(receiver.socket, server_side=True)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        receiver.shutdown()
        receiver.server_close()
        thread.join()


def answering(
    status: int, headers: dict[str, str] | None = None, body: bytes = b""
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def resolving_to(*addresses: str) -> Resolver:
    def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def local_endpoint(
    receiver: Receiver, target: str = "/hook", host: str = "shop.example", scheme: str = "http"
) -> CheckedEndpoint:
    return check_endpoint(
        f"{scheme}://{host}:{receiver.port}{target}",
        resolve=resolving_to("127.0.0.1"),
        allow_private_addresses=True,
    )


def sent(answer: Callable[[BaseHTTPRequestHandler], None], timeout_seconds: float = 10) -> DeliveryResult:
    with receiving(answer) as receiver:
        return send(local_endpoint(receiver), {}, BODY, timeout_seconds=timeout_seconds)


def refused_by(url: str, resolve: Resolver | None = None) -> EndpointRule:
    with pytest.raises(EndpointRefusedError) as refusal:
        check_endpoint(url, resolve=resolve or resolving_to("9.9.9.9"), allow_private_addresses=False)
    assert refusal.value.rule.value in str(refusal.value)
    return refusal.value.rule


# Signatures


def test_a_signature_verifies_with_the_library_of_the_receiver() -> None:
    secret = new_secret()
    headers = signed_headers("msg_1", datetime.now(UTC), BODY, [secret])
    assert set(headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert Webhook(secret).verify(BODY, headers)["name"] == "Müller"


def test_a_time_in_another_zone_is_signed_as_the_same_moment() -> None:
    secret = new_secret()
    moment = datetime.now(timezone(timedelta(hours=9)))
    Webhook(secret).verify(BODY, signed_headers("msg_1", moment, BODY, [secret]))


def test_while_a_secret_is_replaced_the_old_and_the_new_one_both_verify() -> None:
    old, new = new_secret(), new_secret()
    headers = signed_headers("msg_1", datetime.now(UTC), BODY, [new, old])
    Webhook(old).verify(BODY, headers)
    Webhook(new).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_a_tampered_body_id_or_time_does_not_verify() -> None:
    secret = new_secret()
    headers = signed_headers("msg_1", datetime.now(UTC), BODY, [secret])
    later = str(int(headers["webhook-timestamp"]) + 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY.replace(b"created", b"expired"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers | {"webhook-id": "msg_2"})
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers | {"webhook-timestamp": later})


def test_a_secret_is_32_random_bytes() -> None:
    first, second = new_secret(), new_secret()
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32
    assert first != second


@pytest.mark.parametrize("message_id", ["", "a.b", "a\r\nx-evil: 1", "ä"])
def test_a_message_id_that_would_make_the_signed_text_ambiguous_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="message id"):
        signed_headers(message_id, datetime.now(UTC), BODY, [new_secret()])


def test_a_naive_time_and_a_missing_secret_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        signed_headers("msg_1", datetime(2026, 1, 1), BODY, [new_secret()])  # noqa: DTZ001  naive on purpose
    with pytest.raises(ValueError, match="secret"):
        signed_headers("msg_1", datetime.now(UTC), BODY, [])


# Endpoints


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("0.0.0.0", EndpointRule.UNSPECIFIED),  # noqa: S104  refused, not listened on
        ("::", EndpointRule.UNSPECIFIED),
        ("127.0.0.1", EndpointRule.LOOPBACK),
        ("127.255.0.3", EndpointRule.LOOPBACK),
        ("::1", EndpointRule.LOOPBACK),
        ("::ffff:127.0.0.1", EndpointRule.LOOPBACK),
        ("10.0.0.1", EndpointRule.PRIVATE),
        ("172.31.255.255", EndpointRule.PRIVATE),
        ("192.168.1.1", EndpointRule.PRIVATE),
        ("fd00::1", EndpointRule.PRIVATE),
        ("64:ff9b:1::1", EndpointRule.PRIVATE),
        ("169.254.169.254", EndpointRule.LINK_LOCAL),
        ("fe80::1", EndpointRule.LINK_LOCAL),
        ("fe80::1%2", EndpointRule.LINK_LOCAL),
        ("::ffff:169.254.169.254", EndpointRule.LINK_LOCAL),
        ("64:ff9b::169.254.169.254", EndpointRule.LINK_LOCAL),
        ("2002:a9fe:a9fe::1", EndpointRule.LINK_LOCAL),
        ("2002:7f00:1::", EndpointRule.LOOPBACK),
        ("64:ff9b::10.0.0.1", EndpointRule.PRIVATE),
        ("100.64.0.1", EndpointRule.CARRIER_NAT),
        ("100.127.255.255", EndpointRule.CARRIER_NAT),
        ("224.0.0.1", EndpointRule.MULTICAST),
        ("ff02::1", EndpointRule.MULTICAST),
        ("255.255.255.255", EndpointRule.RESERVED),
        ("192.0.2.1", EndpointRule.RESERVED),
        ("2001:db8::1", EndpointRule.RESERVED),
        ("2001::1", EndpointRule.RESERVED),
        ("::7f00:1", EndpointRule.RESERVED),
    ],
)
def test_an_address_that_is_not_on_the_public_internet_is_refused(address: str, rule: EndpointRule) -> None:
    assert refused_by("https://shop.example/", resolving_to(address)) is rule
    check_endpoint("https://shop.example/", resolve=resolving_to(address), allow_private_addresses=True)


@pytest.mark.parametrize(
    "address",
    [
        "9.9.9.9",
        "100.63.255.255",
        "100.128.0.0",
        "172.32.0.1",
        "2620:fe::fe",
        "::ffff:9.9.9.9",
        "64:ff9b::9.9.9.9",
    ],
)
def test_an_address_on_the_public_internet_is_allowed(address: str) -> None:
    endpoint = check_endpoint(
        "https://shop.example/", resolve=resolving_to(address), allow_private_addresses=False
    )
    assert endpoint.addresses == (address,)


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_that_python_calls_local_is_allowed_plain_or_inside_ipv6(
    address: IPv4Address,
) -> None:
    if not address.is_global or address.is_multicast:
        for spelling in (str(address), f"::ffff:{address}", f"64:ff9b::{address}"):
            refused_by("https://shop.example/", resolving_to(spelling))


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_that_python_calls_local_is_allowed(address: IPv6Address) -> None:
    embeds_ipv4 = address.ipv4_mapped is not None or address.sixtofour is not None
    if not embeds_ipv4 and (not address.is_global or address.is_multicast):
        refused_by("https://shop.example/", resolving_to(str(address)))


@pytest.mark.parametrize("addresses", [("9.9.9.9", "10.0.0.1"), ("10.0.0.1", "9.9.9.9")])
def test_one_private_address_among_public_ones_is_enough_to_refuse(addresses: tuple[str, str]) -> None:
    assert refused_by("https://shop.example/", resolving_to(*addresses)) is EndpointRule.PRIVATE


def test_a_refusal_does_not_tell_which_address_the_name_server_gave() -> None:
    with pytest.raises(EndpointRefusedError) as refusal:
        check_endpoint(
            "https://wiki.example/", resolve=resolving_to("10.1.2.3"), allow_private_addresses=False
        )
    assert "10.1.2.3" not in str(refusal.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:7f00:1]"]
)
def test_no_spelling_of_a_loopback_address_gets_past_the_system_resolver(host: str) -> None:
    assert refused_by(f"https://{host}/", system_resolver) is EndpointRule.LOOPBACK


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://shop.example/", EndpointRule.SCHEME),
        ("ftp://shop.example/", EndpointRule.SCHEME),
        ("shop.example/hook", EndpointRule.SCHEME),
        ("https://user@shop.example/", EndpointRule.USER_INFORMATION),
        ("https://user:word@shop.example/", EndpointRule.USER_INFORMATION),
        ("https://shop.example\\@evil.example/", EndpointRule.USER_INFORMATION),
        ("https://shop.example/#part", EndpointRule.FRAGMENT),
        ("https://shop.example/#", EndpointRule.FRAGMENT),
        ("https://shop.example:0/", EndpointRule.PORT),
        ("https://shop.example:65536/", EndpointRule.PORT),
        ("https://shop.example:-1/", EndpointRule.PORT),
        ("https:///hook", EndpointRule.HOST),
        ("https://%31/", EndpointRule.HOST),
        ("https://[fe80::1%25eth0]/", EndpointRule.HOST),
        ("https://0177.0.0.1/", EndpointRule.MALFORMED),
        ("https://shop.example:port/", EndpointRule.MALFORMED),
        ("https://shop\n.example/", EndpointRule.MALFORMED),
    ],
)
def test_a_url_that_breaks_a_rule_is_refused_by_the_name_of_the_rule(url: str, rule: EndpointRule) -> None:
    assert refused_by(url) is rule


def test_an_international_host_name_is_resolved_and_proven_in_ascii() -> None:
    endpoint = check_endpoint(
        "https://bücher.example./a b?q=ü", resolve=resolving_to("9.9.9.9"), allow_private_addresses=False
    )
    assert endpoint.authority == "xn--bcher-kva.example"
    assert endpoint.target == "/a%20b?q=%C3%BC"


@pytest.mark.parametrize("host", ["name.invalid", "a" * 64 + ".example", "a..b"])
def test_a_host_that_cannot_be_resolved_is_no_broken_rule(host: str) -> None:
    with pytest.raises(EndpointUnresolvedError):
        check_endpoint(f"https://{host}/", resolve=system_resolver, allow_private_addresses=False)


def test_a_host_without_any_address_is_unresolved() -> None:
    with pytest.raises(EndpointUnresolvedError):
        check_endpoint("https://shop.example/", resolve=resolving_to(), allow_private_addresses=False)


# Delivery


def test_the_receiver_gets_body_headers_and_target_as_they_were_signed() -> None:
    secret = new_secret()
    with receiving(answering(204)) as receiver:
        endpoint = local_endpoint(receiver, "/hook/a%2Fb?shop=7")
        result = send(endpoint, signed_headers("msg_1", datetime.now(UTC), BODY, [secret]), BODY)
    assert result == DeliveryResult(kind=DeliveryKind.DELIVERED, status=204, detail="204 No Content")
    [(path, headers, body)] = receiver.requests
    assert path == "/hook/a%2Fb?shop=7"
    assert headers["host"] == f"shop.example:{receiver.port}"
    assert headers["content-type"] == "application/json"
    Webhook(secret).verify(body, headers)


def test_the_connection_goes_to_the_checked_address_whatever_the_resolver_says_later() -> None:
    answers = iter([["127.0.0.1"]])
    with receiving(answering(200)) as receiver:
        endpoint = check_endpoint(
            f"http://rebinding.example:{receiver.port}/",
            # A second question would raise StopIteration.
            resolve=lambda _host, _port: next(answers),
            allow_private_addresses=True,
        )
        assert send(endpoint, {}, BODY).kind is DeliveryKind.DELIVERED
    assert len(receiver.requests) == 1


def test_no_name_is_looked_up_and_no_proxy_asked_while_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[object] = []
    real = asyncio.BaseEventLoop.getaddrinfo

    async def spy(self: asyncio.BaseEventLoop, host: object, *rest: object, **options: object) -> object:
        looked_up.append(host)
        return await real(self, host, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", spy)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with receiving(answering(200)) as receiver:
        assert send(local_endpoint(receiver), {}, BODY).kind is DeliveryKind.DELIVERED
    assert set(looked_up) <= {"127.0.0.1"}


def test_the_next_address_is_tried_where_the_first_cannot_be_connected() -> None:
    with receiving(answering(200)) as receiver:
        endpoint = check_endpoint(
            f"http://shop.example:{receiver.port}/",
            resolve=resolving_to("::1", "127.0.0.1"),
            allow_private_addresses=True,
        )
        assert send(endpoint, {}, BODY, timeout_seconds=5).kind is DeliveryKind.DELIVERED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    with receiving(answering(200)) as elsewhere:
        result = sent(answering(status, {"Location": f"http://127.0.0.1:{elsewhere.port}/"}))
    assert (result.kind, result.status) == (DeliveryKind.RETRY, status)
    assert "redirects are not followed" in result.detail
    assert elsewhere.requests == []


def test_410_is_gone() -> None:
    result = sent(answering(410, {"Retry-After": "5"}))
    assert (result.kind, result.status, result.retry_after_seconds) == (DeliveryKind.GONE, 410, None)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 599])
def test_any_other_status_is_tried_again(status: int) -> None:
    result = sent(answering(status, body=b"why not"))
    assert (result.kind, result.status, result.answer) == (DeliveryKind.RETRY, status, b"why not")


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert sent(answering(503, {"Retry-After": "120"})).retry_after_seconds == 120
    date = (datetime.now(UTC) + timedelta(seconds=300)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    waiting = sent(answering(429, {"Retry-After": date})).retry_after_seconds
    assert waiting is not None
    assert 280 <= waiting <= 300
    assert sent(answering(503)).retry_after_seconds is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("86401", MOST_RETRY_AFTER_SECONDS),
        ("9" * 5_000, MOST_RETRY_AFTER_SECONDS),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MOST_RETRY_AFTER_SECONDS),
        ("Wed, 31 Dec 2025 23:59:59 GMT", 0),
        ("Thu, 01 Jan 2026 00:00:10 -0000", 10),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_capped_and_nonsense_counts_as_none(value: str | None, seconds: int | None) -> None:
    assert retry_after(value, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,20} [A-Z][a-z]{2} \d{1,20} \d+:\d+:\d+ [+-]?\d+"))
def test_no_retry_after_breaks_the_sender(value: str) -> None:
    seconds = retry_after(value, datetime(2026, 1, 1, tzinfo=UTC))
    assert seconds is None or 0 <= seconds <= MOST_RETRY_AFTER_SECONDS


def test_a_slow_answer_times_out() -> None:
    def never(handler: BaseHTTPRequestHandler) -> None:
        assert isinstance(handler.server, Receiver)
        handler.server.released.wait(10)

    started = time.monotonic()
    result = sent(never, timeout_seconds=0.3)
    assert time.monotonic() - started < 5
    assert (result.kind, result.status) == (DeliveryKind.RETRY, None)
    assert "0.3 s" in result.detail


def test_an_answer_that_drips_byte_by_byte_times_out_in_all() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        assert isinstance(handler.server, Receiver)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while not handler.server.released.wait(0.05):
            handler.wfile.write(b"x")

    started = time.monotonic()
    assert sent(drip, timeout_seconds=0.4).status is None
    assert time.monotonic() - started < 5


def test_a_body_that_never_ends_takes_nothing_back_from_the_status() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        assert isinstance(handler.server, Receiver)
        handler.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nbegun")
        handler.server.released.wait(10)

    result = sent(endless, timeout_seconds=0.3)
    assert (result.kind, result.status, result.answer) == (DeliveryKind.DELIVERED, 202, b"begun")


@pytest.mark.parametrize("status", [200, 500])
def test_a_huge_answer_is_cut(status: int) -> None:
    written = 0

    def huge(handler: BaseHTTPRequestHandler) -> None:
        nonlocal written
        handler.wfile.write(f"HTTP/1.1 {status} X\r\nContent-Length: {2**30}\r\n\r\n".encode())
        for _ in range(2**14):
            written += handler.wfile.write(b"y" * 2**16)

    result = sent(huge)
    assert result.status == status
    assert result.answer == b"y" * MOST_ANSWER_BYTES
    assert written < 2**28


def test_an_answer_that_is_not_http_or_none_at_all_is_tried_again() -> None:
    for nonsense in (b"220 mail ready\r\n", b""):
        result = sent(lambda handler, nonsense=nonsense: handler.wfile.write(nonsense) and None)
        assert (result.kind, result.status) == (DeliveryKind.RETRY, None)
        assert result.detail


def test_a_port_where_nobody_listens_is_tried_again() -> None:
    with receiving(answering(200)) as receiver:
        endpoint = local_endpoint(receiver)
    result = send(endpoint, {}, BODY, timeout_seconds=5)
    assert (result.kind, result.status) == (DeliveryKind.RETRY, None)
    assert "ConnectError" in result.detail


def test_a_header_that_http_forbids_is_our_error_and_no_result() -> None:
    with receiving(answering(200)) as receiver, pytest.raises(httpx.LocalProtocolError):
        send(local_endpoint(receiver), {"webhook-id": "a\r\nx-evil: 1"}, BODY)
    assert receiver.requests == []


def test_an_event_loop_can_send_many_at_once() -> None:
    async def all_at_once(endpoint: CheckedEndpoint) -> list[DeliveryResult]:
        return await asyncio.gather(*(send_async(endpoint, {}, BODY) for _ in range(5)))

    with receiving(answering(200)) as receiver:
        results = asyncio.run(all_at_once(local_endpoint(receiver)))
    assert [result.kind for result in results] == [DeliveryKind.DELIVERED] * 5


def server_and_client_tls(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext, list[str | None]]:
    """A self-signed certificate for `name`, a client that trusts it, and the names that clients asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate_file, key_file)
    asked_for: list[str | None] = []
    server.sni_callback = lambda _socket, asked_name, _context: asked_for.append(asked_name)
    return server, ssl.create_default_context(cafile=str(certificate_file)), asked_for


def test_tls_proves_the_name_of_the_host_though_the_connection_goes_to_an_address(tmp_path: Path) -> None:
    server_tls, client_tls, asked_for = server_and_client_tls("shop.example", tmp_path)
    with receiving(answering(200), server_tls) as receiver:
        right = local_endpoint(receiver, scheme="https")
        wrong = local_endpoint(receiver, scheme="https", host="other.example")
        assert send(right, {}, BODY, tls=client_tls).kind is DeliveryKind.DELIVERED
        assert asked_for == ["shop.example"]
        for result in (send(wrong, {}, BODY, tls=client_tls), send(right, {}, BODY)):
            assert (result.kind, result.status) == (DeliveryKind.RETRY, None)
            assert "certificate verify failed" in result.detail.lower()
    assert len(receiver.requests) == 1


# Schedule


def test_ten_attempts_take_about_three_days() -> None:
    waits = [next_attempt_after_ms(number, None, 0.5) for number in range(12)]
    assert waits[0] == 0
    assert waits[10:] == [None, None]
    planned = [wait for wait in waits if wait is not None]
    assert len(planned) == 10
    assert 2.8 <= sum(planned) / 86_400_000 <= 3.3


@given(st.lists(JITTERS, min_size=10, max_size=10))
def test_waits_only_grow_whatever_the_jitter(jitters: list[float]) -> None:
    waits = [next_attempt_after_ms(number, None, jitter) for number, jitter in enumerate(jitters)]
    planned = [wait for wait in waits if wait is not None]
    assert len(planned) == 10
    assert all(earlier < later for earlier, later in itertools.pairwise(planned))
    assert 2.7 <= sum(planned) / 86_400_000 <= 3.4


@given(ATTEMPTS, st.integers(min_value=0, max_value=MOST_RETRY_AFTER_SECONDS), JITTERS)
def test_the_next_attempt_is_never_earlier_than_retry_after_or_the_schedule_say(
    number: int, seconds: int, jitter: float
) -> None:
    asked = next_attempt_after_ms(number, seconds, jitter)
    unasked = next_attempt_after_ms(number, None, jitter)
    assert asked is not None
    assert unasked is not None
    assert asked >= max(seconds * 1_000, unasked)
    assert asked <= max(seconds * 1_100 + 1, unasked)


def test_retry_after_does_not_add_an_eleventh_attempt() -> None:
    assert next_attempt_after_ms(10, 5, 0.0) is None


@pytest.mark.parametrize(("number", "jitter"), [(-1, 0.0), (1, 1.0), (1, -0.1), (1, float("nan"))])
def test_a_jitter_or_number_out_of_range_is_refused(number: int, jitter: float) -> None:
    with pytest.raises(ValueError, match=r"jitter|number"):
        next_attempt_after_ms(number, None, jitter)

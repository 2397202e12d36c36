"""One connection to the broker, from the attempt to its end; never reconnects by itself.

paho runs it in a thread of its own; its callbacks only hand over to the event loop, where everything else happens. Who
owns a session decides what comes after it, so there is one owner of reconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgecache.config.schema import Mqtt, MqttTls

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
"""For name, TCP, TLS and CONNACK together; paho gives TCP and TLS 5 s each."""

ANSWER_SECONDS = 1.5
"""For a CONNACK to MQTT 5: amqtt waits for ever for the rest of what it takes for a longer CONNECT."""

INBOUND_BYTES_MAX = 4096
"""A message to us is a term of a hundred bytes, `online` or `offline`; what is longer is dropped."""

INBOUND_PENDING_MAX = 256
"""Messages on their way to the event loop; a broker that floods us loses the rest."""

PACKET_BYTES_MAX = 64 * 1024
"""What an MQTT 5 broker is told to send at most."""

_BAD_PROTOCOL = {1, 132}
"""CONNACK: unacceptable protocol version, in MQTT 3.1.1 and 5."""

_TAKEN_OVER = 142
"""MQTT 5 section 4.13: DISCONNECT with reason 0x8E."""


class Level(Enum):
    """The protocol that is spoken."""

    V5 = MQTTProtocolVersion.MQTTv5
    V311 = MQTTProtocolVersion.MQTTv311

    @property
    def other(self) -> Level:
        """The one to try when the broker does not take this one."""
        return Level.V311 if self is Level.V5 else Level.V5


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker retains, with QoS 1, when the session ends without a goodbye."""

    topic: str
    payload: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a session is over."""

    reason: str
    connected: bool
    """It had been accepted before."""
    taken_over: bool = False
    """Another client has connected with our client id; only MQTT 5 says so."""
    wrong_level: bool = False
    """The broker seems not to speak this version of MQTT."""


class Listener(Protocol):
    """Who owns a session; called on the event loop."""

    def on_connected(self, session: Session) -> None:
        """The broker has accepted us."""
        ...

    def on_subscribed(self, session: Session, refusal: str) -> None:
        """The broker has acknowledged a `subscribe`, or `refusal` says why not."""
        ...

    def on_message(self, session: Session, topic: str, payload: bytes) -> None:
        """Something we subscribed to."""
        ...

    def on_acknowledged(self, session: Session, mid: int, refusal: str) -> None:
        """The broker has taken a message, or `refusal` says why not."""
        ...

    def on_ended(self, session: Session, end: Ended) -> None:
        """Always the last call, and the only one of a failed attempt."""
        ...


class _Client(Client):
    """paho's client, which remembers why a connection could not be made."""

    failure: str = ""

    def reconnect(self) -> MQTTErrorCode:
        try:
            return super().reconnect()
        except OSError as error:
            self.failure = _told(error)
            raise
        except Exception as error:  # paho's thread only survives an OSError
            self.failure = _told(error)
            raise ConnectionError(str(error)) from error


class _NamedContext(ssl.SSLContext):
    """A client context that expects a name other than the host's."""

    expected: str = ""

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **{**options, "server_hostname": self.expected or options["server_hostname"]})


def tls_context(tls: MqttTls) -> ssl.SSLContext:
    """What `mqtt.tls` asks for; raises OSError when a file cannot be used."""
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.expected = tls.server_name
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is not None:
        context.load_verify_locations(tls.ca)
    else:
        context.load_default_certs()
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context


class Session:
    """See above. Made and used on the event loop; `open` begins the attempt."""

    def __init__(
        self, config: Mqtt, client_id: str, level: Level, listener: Listener, will: Will | None = None
    ) -> None:
        self._config = config
        self.level = level
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._accepted = False
        self._answered = False
        self._abandoned = False
        self._deadline: asyncio.TimerHandle | None = None
        self._pending = 0
        self._client = self._make_client(client_id, will)

    def _make_client(self, client_id: str, will: Will | None) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self.level is Level.V5 else True,
            protocol=self.level.value,
            reconnect_on_failure=False,
        )
        client.max_queued_messages_set(256)
        client.max_inflight_messages_set(64)
        client.reconnect_delay_set(1, 1)
        if self._config.username:
            client.username_pw_set(self._config.username, self._config.password or None)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def open(self) -> None:
        """Begin to connect; `on_connected` or `on_ended` follows within CONNECT_SECONDS."""
        self._deadline = self._loop.call_later(CONNECT_SECONDS, self._give_up)
        try:
            if self._config.tls.enabled:
                self._client.tls_set_context(tls_context(self._config.tls))
                self._client.tls_insecure_set(self._config.tls.insecure)
            properties = None
            if self.level is Level.V5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.MaximumPacketSize = PACKET_BYTES_MAX
            keepalive = max(1, round(self._config.keepalive))
            host, port = self._config.host, self._config.port
            if self.level is Level.V5:
                self._client.connect_async(host, port, keepalive, clean_start=True, properties=properties)
            else:
                self._client.connect_async(host, port, keepalive)
            self._client.loop_start()
        except (OSError, ValueError, RuntimeError) as error:
            self._loop.call_soon(self._end, Ended(f"cannot connect: {_told(error)}", connected=False))

    def publish(self, topic: str, payload: bytes) -> int | None:
        """Send with QoS 1, to be retained; the message id, or None when the session is ending."""
        if not self._accepted:
            return None
        info = self._client.publish(topic, payload, qos=1, retain=True)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def subscribe(self, topics: Iterable[str]) -> None:
        """Ask for what is retained under these topics, and what comes."""
        self._client.subscribe([(topic, 1) for topic in topics])

    async def close(self, timeout: float = 1.0) -> None:
        """Say goodbye, so that the will is not published; `on_ended` is still called. Ends within `timeout` seconds."""
        self._abandoned = True
        self._client.disconnect()
        if self._accepted:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._over), timeout)
        self._end(Ended("closed", connected=self._accepted))

    def _give_up(self) -> None:
        if not self._accepted:
            self._abandoned = True
            self._client.disconnect()
            self._end(Ended(f"no answer within {CONNECT_SECONDS:g} s", connected=False))

    def _expect_answer(self) -> None:
        if self._over.done() or self._accepted or self.level is not Level.V5:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(ANSWER_SECONDS, self._unanswered)

    def _unanswered(self) -> None:
        if not self._accepted:
            self._abandoned = True
            self._client.disconnect()
            self._end(Ended("no answer to MQTT 5", connected=False, wrong_level=True))

    def _end(self, end: Ended) -> None:
        """Report the end, once."""
        if self._over.done():
            return
        self._over.set_result(None)
        self._accepted = False
        if self._deadline is not None:
            self._deadline.cancel()
        self._listener.on_ended(self, end)

    def _release(self) -> None:
        """After paho's last callback: let go of each other, so that its sockets are closed now and not at some time."""
        client = self._client
        client.on_socket_open = client.on_connect = client.on_connect_fail = client.on_disconnect = None
        client.on_message = client.on_publish = client.on_subscribe = None

    # ---- in paho's thread: nothing but handing over

    def _hand_over(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(call, *arguments)

    def _on_socket_open(self, client: Client, userdata: object, sock: object) -> None:
        self._hand_over(self._expect_answer)

    def _on_connect(self, client: Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if self._abandoned:
            client.disconnect()
        elif reason.is_failure:
            self._answered = True
            wrong = reason.value in _BAD_PROTOCOL
            self._hand_over(self._end, Ended(f"refused by the broker: {reason}", connected=False, wrong_level=wrong))
        else:
            self._hand_over(self._now_connected)

    def _on_connect_fail(self, client: Client, userdata: object) -> None:
        client.disconnect()
        self._hand_over(self._end, Ended(self._client.failure, connected=False))
        self._hand_over(self._release)

    def _on_disconnect(self, client: Client, userdata: object, flags: Any, reason: Any, properties: object) -> None:
        taken = flags.is_disconnect_packet_from_server and reason.value == _TAKEN_OVER
        self._hand_over(self._now_disconnected, str(reason), taken)
        self._hand_over(self._release)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        if len(message.payload) <= INBOUND_BYTES_MAX and self._pending < INBOUND_PENDING_MAX:
            self._pending += 1
            self._hand_over(self._now_message, message.topic, bytes(message.payload))

    def _on_publish(self, client: Client, userdata: object, mid: int, reason: Any, properties: object) -> None:
        self._hand_over(self._now_acknowledged, mid, str(reason) if reason.is_failure else "")

    def _on_subscribe(self, client: Client, userdata: object, mid: int, reasons: Any, properties: object) -> None:
        self._hand_over(self._now_subscribed, next((str(reason) for reason in reasons if reason.is_failure), ""))

    # ---- on the event loop

    def _now_connected(self) -> None:
        if not self._over.done():
            self._accepted = True
            self._listener.on_connected(self)

    def _now_disconnected(self, reason: str, taken: bool) -> None:
        # A broker that does not know MQTT 5 may just hang up instead of answering.
        silent = not self._accepted and not self._answered
        text = "hung up without an answer" if silent else f"connection lost: {reason}"
        self._end(Ended(text, connected=self._accepted, taken_over=taken, wrong_level=silent))

    def _now_message(self, topic: str, payload: bytes) -> None:
        self._pending -= 1
        if not self._over.done():
            self._listener.on_message(self, topic, payload)

    def _now_acknowledged(self, mid: int, refusal: str) -> None:
        if not self._over.done():
            self._listener.on_acknowledged(self, mid, refusal)

    def _now_subscribed(self, refusal: str) -> None:
        if not self._over.done():
            self._listener.on_subscribed(self, refusal)


def _told(error: Exception) -> str:
    """A sentence for people, with the way out where there is a known one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the broker's certificate is not accepted: {error.verify_message}"
        if "match" in error.verify_message or "mismatch" in error.verify_message:
            return f"{text}; set mqtt.tls.server_name to a name that is in it"
        if "not yet valid" in error.verify_message:
            return f"{text}; is the clock of this device right?"
        return f"{text}; give its CA as mqtt.tls.ca"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__

"""How much one server takes from its clients before it says no."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one RPC port: sizes in bytes, times in seconds. Every one of them is enforced."""

    body_bytes: int = 5 * MIB
    """Longest HTTP request body."""
    header_bytes: int = 8 * KIB
    """Longest request head: request line and all header fields together."""
    header_fields: int = 64
    ws_message_bytes: int = 32 * MIB
    """Longest WebSocket message, in all its frames together."""
    reply_bytes: int = 25_000_000
    """Longest reply; in a batch, the longest sum."""
    buffered_bytes: int = 96 * MIB
    """Sum of all large requests that are being received or executed, over all connections."""
    small_body_bytes: int = 64 * KIB
    """Requests up to this size do not count against `buffered_bytes`, so a flood of large ones leaves them
    a way through."""

    batch_items: int = 1_000
    json_depth: int = 64
    json_values: int = 100_000
    """Commas and opening brackets in a request: bounds the memory that parsing it can take."""
    number_digits: int = 300
    """Longest number literal."""

    connections: int = 1_000
    connections_idle_seconds: float = 30.0
    """A connection that has no request under way, or only half of its head, is closed after this."""
    body_seconds: float = 30.0
    """Time for a client to send the body after the head."""
    request_seconds: float = 30.0
    """Time for the answer, unless the method states another; for a batch, the time for all of it."""
    concurrent_calls: int = 128
    """Methods that await or run in a thread, at work at the same time; more wait until their deadline."""
    long_polls: int = 64
    """Methods with a deadline of their own above `request_seconds`, at the same time; more are refused."""
    threads: int = 4
    """Worker threads for methods that compute."""

    ws_connections: int = 200
    ws_calls: int = 32
    """Calls under way on one WebSocket; the server reads no further until one is done."""
    ws_queue_items: int = 1_024
    ws_queue_bytes: int = 64 * MIB
    """Replies and notifications waiting for one WebSocket; a client that reads too slowly is dropped."""
    ws_heartbeat_seconds: float = 30.0
    subscriptions: int = 64
    """Subscriptions of one WebSocket."""

    auth_failure_seconds: float = 0.25
    """Delay before a wrong password is answered."""

"""What a method may know about the call it answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class PushTarget(Protocol):
    """A connection that can receive messages nobody asked for."""

    @property
    def limit(self) -> int:
        """Most subscriptions at one time."""

    def push(self, message: bytes) -> None:
        """Queue one message; a target that has fallen too far behind drops its connection instead."""


@dataclass(slots=True)
class CallContext:
    """Who calls, over what. A method that has a parameter of this type receives it."""

    authorized: bool = False
    """Whether the caller has shown the cookie or the password."""
    remote: str = ""
    push: PushTarget | None = None
    """The WebSocket that the call came over; None over HTTP."""
    after_reply: list[Callable[[], None]] = field(default_factory=list)
    """Run once the reply is queued, so that a notification never overtakes the id it is known by."""

"""Topics that WebSocket clients subscribe to, and the fan-out of what happens.

`{"jsonrpc":"2.0","method":"subscription","params":{"subscription":id,"result":...}}` is the form of
Ethereum's `eth_subscription`; only the method's name differs between ports.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any
from weakref import WeakKeyDictionary

import orjson
from pydantic import TypeAdapter, ValidationError

from ioex_chain.rpc.context import CallContext, PushTarget
from ioex_chain.rpc.errors import Code, LimitExceeded, ParameterError, ParameterFault, RpcError
from ioex_chain.rpc.jsonio import dumps
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import Mark, MethodTable

Select = Callable[[Any, Any], Iterable[object]]
"""From a subscription's parameters and an event to the results to send; none when it did not ask for it."""

HELD_NOTIFICATIONS = 256


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that can be subscribed to.

    `params`: type of the subscription's one parameter, None when it takes none. `select`: what an event
    becomes for one subscription; without it every event is sent as it is, written once for all.
    """

    name: str
    description: str
    params: Any = None
    select: Select | None = None


@dataclass(slots=True, eq=False)
class _Subscription:
    id: str
    topic: Topic
    params: object
    target: PushTarget
    held: list[bytes] | None = field(default_factory=list)

    def send(self, message: bytes) -> None:
        """Pass a notification on, or hold it until the client knows the subscription's id."""
        if self.held is None:
            self.target.push(message)
        elif len(self.held) < HELD_NOTIFICATIONS:
            self.held.append(message)

    def announce(self) -> None:
        """Send what was held: the reply with the id is on its way."""
        held, self.held = self.held or [], None
        for message in held:
            self.target.push(message)


class Subscriptions:
    """The topics of one port and who listens to them. Lives in the event loop's thread."""

    def __init__(self, topics: Iterable[Topic], notification: str = "subscription") -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._adapters: dict[str, TypeAdapter[Any]] = {
            topic.name: TypeAdapter(topic.params)
            for topic in self._topics.values()
            if topic.params is not None
        }
        self._notification = notification
        self._by_topic: dict[str, dict[str, _Subscription]] = {name: {} for name in self._topics}
        self._by_target: WeakKeyDictionary[PushTarget, dict[str, _Subscription]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return sum(len(listeners) for listeners in self._by_topic.values())

    def subscribe(self, context: CallContext, topic: str, params: object = None) -> str:
        """Begin to send a topic's events to the caller; give the subscription's id.

        Raises RpcError over HTTP, LimitExceeded, ParameterError.
        """
        if context.push is None:
            raise RpcError(
                Code.METHOD_NOT_SUPPORTED,
                "Subscriptions need a WebSocket: connect to the same port with ws://",
            )
        known = self._topics.get(topic)
        if known is None:
            raise ParameterError("topic", f"unknown; there are {', '.join(sorted(self._topics))}")
        own = self._by_target.setdefault(context.push, {})
        if len(own) >= context.push.limit:
            raise LimitExceeded(f"One connection has at most {context.push.limit} subscriptions")
        subscription = _Subscription(
            "0x" + secrets.token_hex(16), known, self._read(known, params), context.push
        )
        own[subscription.id] = self._by_topic[topic][subscription.id] = subscription
        context.after_reply.append(subscription.announce)
        return subscription.id

    def unsubscribe(self, context: CallContext, id_: str) -> bool:
        """End one of the caller's own subscriptions; False when it has none of this id."""
        own = self._by_target.get(context.push, {}) if context.push is not None else {}
        subscription = own.pop(id_, None)
        if subscription is None:
            return False
        self._by_topic[subscription.topic.name].pop(id_, None)
        return True

    def drop(self, target: PushTarget) -> None:
        """Forget a connection that has closed."""
        for subscription in self._by_target.pop(target, {}).values():
            self._by_topic[subscription.topic.name].pop(subscription.id, None)

    def publish(self, topic: str, event: object) -> None:
        """Send an event to all who listen. Never waits: a slow listener loses its connection."""
        listeners = self._by_topic[topic]
        if not listeners:
            return
        select = self._topics[topic].select
        shared = [orjson.Fragment(dumps(event))] if select is None else None
        for subscription in list(listeners.values()):
            results = shared if shared is not None or select is None else select(subscription.params, event)
            for result in results or ():
                subscription.send(self._message(subscription.id, result))

    def has_listeners(self, topic: str) -> bool:
        """Say whether building an event is worth its cost."""
        return bool(self._by_topic[topic])

    def add_methods(
        self,
        table: MethodTable,
        subscribe: str = "subscribe",
        unsubscribe: str = "unsubscribe",
        group: str = "subscriptions",
    ) -> None:
        """Add the two methods to a table under the names that the port's clients know."""
        table.add(
            self._subscribe_method, Mark(subscribe, group, False, (Code.LIMIT_EXCEEDED,), None, False, False)
        )
        table.add(self._unsubscribe_method, Mark(unsubscribe, group, False, (), None, False, False))

    def topics(self) -> tuple[Topic, ...]:
        """Give all topics."""
        return tuple(self._topics.values())

    async def _subscribe_method(
        self,
        context: CallContext,
        topic: Annotated[str, Param("what to listen to")],
        params: Annotated[Any, Param("the topic's own parameter")] = None,
    ) -> str:
        """Send this WebSocket a notification for each event of a topic, and give the subscription's id."""
        return self.subscribe(context, topic, params)

    async def _unsubscribe_method(self, context: CallContext, subscription: str) -> bool:
        """End a subscription of this WebSocket; false when it has none of this id."""
        return self.unsubscribe(context, subscription)

    def _read(self, topic: Topic, params: object) -> object:
        adapter = self._adapters.get(topic.name)
        if adapter is None:
            if params is not None:
                raise ParameterError("params", f"the topic {topic.name} takes none", ParameterFault.COUNT)
            return None
        try:
            return adapter.validate_python(params, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise ParameterError("params", first["msg"]) from None

    def _message(self, id_: str, result: object) -> bytes:
        params = {"subscription": id_, "result": result}
        return dumps({"jsonrpc": "2.0", "method": self._notification, "params": params})

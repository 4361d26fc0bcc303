from typing import Any

import orjson
import pytest
from typing_extensions import TypedDict

from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.errors import LimitExceeded, ParameterError, RpcError
from ioex_chain.rpc.subscriptions import HELD_NOTIFICATIONS, Subscriptions, Topic


class Filter(TypedDict):
    address: str


def matching(params: Any, event: Any) -> list[object]:
    return [event] if params is None or event["address"] == params["address"] else []


class Target:
    limit = 2

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def push(self, message: bytes) -> None:
        self.sent.append(orjson.loads(message))


def hub() -> Subscriptions:
    topics = [Topic("heads", "New heads."), Topic("logs", "Logs.", Filter | None, matching)]
    return Subscriptions(topics, "eth_subscription")


def listen(h: Subscriptions, target: Target, topic: str, params: object = None) -> str:
    context = CallContext(push=target)
    id_ = h.subscribe(context, topic, params)
    for announce in context.after_reply:
        announce()
    return id_


def test_events_reach_those_who_asked_for_them() -> None:
    h, one, two = hub(), Target(), Target()
    heads, logs = listen(h, one, "heads"), listen(h, two, "logs", {"address": "a"})
    h.publish("heads", {"number": 1})
    h.publish("logs", {"address": "b"})
    h.publish("logs", {"address": "a"})
    assert one.sent == [
        {
            "jsonrpc": "2.0",
            "method": "eth_subscription",
            "params": {"subscription": heads, "result": {"number": 1}},
        }
    ]
    assert [m["params"] for m in two.sent] == [{"subscription": logs, "result": {"address": "a"}}]


def test_a_notification_never_overtakes_the_id() -> None:
    h, target = hub(), Target()
    context = CallContext(push=target)
    h.subscribe(context, "heads")
    for number in range(HELD_NOTIFICATIONS + 10):
        h.publish("heads", number)
    assert target.sent == []
    context.after_reply[0]()
    assert [m["params"]["result"] for m in target.sent] == list(range(HELD_NOTIFICATIONS))


def test_only_the_owner_unsubscribes() -> None:
    h, one, two = hub(), Target(), Target()
    id_ = listen(h, one, "heads")
    assert h.unsubscribe(CallContext(push=two), id_) is False
    assert h.unsubscribe(CallContext(), id_) is False
    assert h.unsubscribe(CallContext(push=one), id_) is True
    assert h.unsubscribe(CallContext(push=one), id_) is False
    h.publish("heads", 1)
    assert one.sent == []


def test_a_closed_connection_leaves_nothing_behind() -> None:
    h, one = hub(), Target()
    listen(h, one, "heads")
    listen(h, one, "logs")
    assert h.has_listeners("heads")
    h.drop(one)
    h.drop(one)
    assert len(h) == 0
    assert not h.has_listeners("heads")


def test_refusals() -> None:
    h, one = hub(), Target()
    with pytest.raises(RpcError, match="WebSocket"):
        h.subscribe(CallContext(), "heads")
    with pytest.raises(ParameterError, match="heads, logs"):
        listen(h, one, "nothing")
    with pytest.raises(ParameterError):
        listen(h, one, "heads", 1)
    with pytest.raises(ParameterError):
        listen(h, one, "logs", {"address": 1})
    listen(h, one, "heads")
    listen(h, one, "heads")
    with pytest.raises(LimitExceeded):
        listen(h, one, "heads")

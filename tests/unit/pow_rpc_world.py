"""A PoW node in one thread, without disk, peers or clock: what the RPC tests talk to."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
from chaingen.builder import ChainBuilder
from chaingen.harness import open_ledger
from chaingen.specs import key, story_spec
from jsonschema import Draft202012Validator

from ioex_chain.crypto.address import script_to_address
from ioex_chain.gossip.sync import PeerSync, SyncState
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId, PeerInfo
from ioex_chain.pow.block import Block
from ioex_chain.pow.fees import FeeEstimator
from ioex_chain.pow.header import Header
from ioex_chain.pow.machine import PowMachine
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import BlockHash, display
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.jsonio import loads
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.openrpc import Info, document
from ioex_chain.rpc.peer_port import AddedPeer, BanInfo, NetworkState
from ioex_chain.rpc.pow.table import pow_port
from ioex_chain.rpc.pow_backend import NodeState, PowHeadChanged

T = TypeVar("T")
LIMITS = Limits(body_bytes=20_000_000)


def peer_address(number: int, host: str = "198.51.100.7") -> PeerAddress:
    return PeerAddress(PeerId(bytes([number]) * 32), Endpoint(host, 20_338))


def peer_info(number: int, **changes: Any) -> PeerInfo:
    """Give a connection: odd numbers were dialled, even ones came in and sent no ping yet."""
    outbound = number % 2 == 1
    values: dict[str, Any] = {
        "number": number,
        "id": PeerId(bytes([number]) * 32),
        "endpoint": Endpoint(f"93.184.216.{number}", 20_338 if outbound else 51_000 + number),
        "outbound": outbound,
        "kind": "outbound-full-relay" if outbound else "inbound",
        "agent": "/ioeX:0.1.0/",
        "version": 1,
        "services": 3,
        "start_height": 5,
        "connected_at": 1_700_000_000,
        "last_sent": 1_700_000_050,
        "last_received": 1_700_000_060,
        "bytes_sent": 1_000 * number,
        "bytes_received": 2_000 * number,
        "ping": 0.0123 if outbound else None,
        "best_ping": 0.01 if outbound else None,
        "score": 0,
        "backlog": 64,
        "sent_by_type": {"ping": 9},
        "received_by_type": {"pong": 9},
        "time_offset": number,
    }
    return PeerInfo(**{**values, **changes})


class FakePeers:
    """A peer port that only remembers."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.connected = [peer_info(1), peer_info(2), peer_info(3)]
        self.listening: tuple[PeerAddress, ...] = (peer_address(9, "203.0.113.5"),)
        self.active = True
        self.syncing = False
        self.heights = (5, 5)
        self.kept: list[PeerAddress] = []
        self.tried: list[PeerAddress] = []
        self.banned: dict[str, BanInfo] = {}
        self.known = [(peer_address(20 + n, f"93.184.216.{n}"), 1_700_000_000 + n, 3) for n in range(5)]
        self.known.append((peer_address(30, "2606:2800:220:1::1"), 1_700_000_000, 1))
        self.pings = 0

    def network_state(self) -> NetworkState:
        outbound = sum(peer.outbound for peer in self.connected)
        return NetworkState(
            id=PeerId(bytes([9]) * 32),
            listening=self.listening,
            agent="/ioeX:0.1.0/",
            version=1,
            services=3,
            active=self.active,
            inbound=len(self.connected) - outbound,
            outbound=outbound,
            max_inbound=117,
            max_outbound=8,
            bytes_sent=60_000,
            bytes_received=120_000,
            known_addresses=len(self.known),
            relay_rate=1_000,
            min_rate=1_000,
            sent_by_type={"ping": 90, "headers": 7},
            received_by_type={"pong": 90},
            offences={"flood": 2},
            bans_made=1,
        )

    def sync_state(self) -> SyncState:
        head, header = self.heights
        return SyncState(self.syncing, head, header, 20.0, (header - head) / 20 if self.syncing else None)

    def peers(self) -> Sequence[PeerInfo]:
        return list(self.connected)

    def peer_sync(self, number: int) -> PeerSync | None:
        return PeerSync(7, 5, (6, 7)) if number == 1 else None

    def add(self, address: PeerAddress) -> bool:
        if address in self.kept:
            return False
        self.kept.append(address)
        return True

    def forget(self, address: PeerAddress) -> bool:
        if address not in self.kept:
            return False
        self.kept.remove(address)
        return True

    def try_once(self, address: PeerAddress) -> None:
        self.tried.append(address)

    def added(self) -> Sequence[AddedPeer]:
        ways = {peer.id: peer.outbound for peer in self.connected}
        return [AddedPeer(one, one.id in ways, ways.get(one.id)) for one in self.kept]

    def disconnect(self, number: int) -> bool:
        before = len(self.connected)
        self.connected = [peer for peer in self.connected if peer.number != number]
        return len(self.connected) < before

    def ban(self, subject: str, seconds: int, reason: str) -> None:
        now = self.clock.now()
        self.banned[subject] = BanInfo(subject, now, now + seconds, reason)

    def unban(self, subject: str) -> bool:
        return self.banned.pop(subject, None) is not None

    def bans(self) -> Sequence[BanInfo]:
        return list(self.banned.values())

    def known_addresses(self, count: int) -> Sequence[tuple[PeerAddress, int, int]]:
        return self.known[:count] if count else self.known

    def set_active(self, active: bool) -> None:
        self.active = active
        if not active:
            self.connected = []

    def ping(self) -> None:
        self.pings += 1


class FakeBackend:
    """Runs everything at once in the caller's thread."""

    def __init__(self, chain: ChainBuilder, *, indexes: bool = True) -> None:
        self.spec = chain.spec
        self.clock = chain.clock
        self.indexes = indexes
        self.ledger = open_ledger(chain, machine=PowMachine(chain.spec, indexes=indexes))
        self.fees = FeeEstimator()
        self.mempool = Mempool(chain.spec, chain.clock, observer=self.fees)
        self.peers = FakePeers(chain.clock)
        self.stopped = False
        self.waited: list[tuple[BlockHash, int, float]] = []
        self.on_wait: Callable[[], None] = lambda: None
        self.events: list[PowHeadChanged] = []
        self.announced: list[Transaction] = []
        self.started_at = chain.clock.now()
        self.ledger.subscribe(self._follow)

    def _follow(self, event: PowHeadChanged) -> None:
        self.events.append(event)
        self.mempool.on_head(event, self.ledger)

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    async def submit_block(self, block: Block) -> PowHeadChanged | None:
        return self.ledger.accept_block(block)

    async def submit_header(self, header: Header) -> None:
        self.ledger.accept_header(header)

    async def submit_transaction(self, tx: Transaction) -> None:
        self.mempool.add(tx, Tip.of(self.ledger))
        self.announced.append(tx)

    async def wait_for_template_change(self, head: BlockHash, mempool_version: int, timeout: float) -> None:
        self.waited.append((head, mempool_version, timeout))
        self.on_wait()

    def state(self) -> NodeState:
        return NodeState(
            version="0.1.0",
            started_at=self.started_at,
            datadir="/home/u/.ioex",
            network="devnet",
            warnings=("careful",),
        )

    def database_size(self) -> int:
        return 4096

    def request_stop(self) -> None:
        self.stopped = True


class RpcRefused(Exception):
    """The port answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]


class World:
    """A chain of a few blocks with spends of every form, a stale branch and a mempool; and its RPC port.

    Heights 1 to 3 are empty; block 4 carries `tx` (genesis coin to alice, change back), block 5 a spend of
    alice's coin (`second`); `stale` is a block beside block 5. `waiting` is in the mempool.
    """

    def __init__(self, *, indexes: bool = True, payout: bytes | None = None) -> None:
        self.chain = chain = ChainBuilder(story_spec())
        self.backend = FakeBackend(chain, indexes=indexes)
        self.ledger = self.backend.ledger
        self.alice, self.bob = key("alice"), key("bob")
        self.blocks = [chain.genesis, *chain.warm_up()]
        self.tx = chain.spend(chain.take(), [(5 * 10**8, self.alice)], fee=10_000)
        self.blocks.append(chain.block(self.blocks[-1], [self.tx]))
        self.second = chain.spend(chain.funds(self.tx), [(3 * 10**8, self.bob)], fee=5_000)
        self.blocks.append(chain.block(self.blocks[-1], [self.second]))
        self.stale = chain.block(self.blocks[4])
        for block in [*self.blocks[1:], self.stale]:
            self.ledger.accept_block(block)
        self.waiting = chain.spend(chain.funds(self.second), [(10**8, self.alice)], fee=4_000)
        self.port = pow_port(self.backend, payout_script=payout)
        self.dispatcher = Dispatcher(self.port.table, errors=self.port.errors, limits=LIMITS)

    def address(self, script: bytes) -> str:
        address = script_to_address("riox", script)
        assert address is not None
        return address

    def wait(self, tx: Transaction | None = None) -> str:
        """Put a transaction (by default `waiting`) into the mempool and give its id."""
        chosen = tx or self.waiting
        self.backend.mempool.add(chosen, Tip.of(self.ledger))
        return display(chosen.txid)

    async def call(self, method: str, *params: object, authorized: bool = True, **named: object) -> Any:
        """Call a method. Raises RpcRefused."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": named or list(params)}
        reply = await self.dispatcher.handle(orjson.dumps(body), CallContext(authorized))
        assert reply.body is not None
        answer = loads(reply.body, LIMITS)
        if "error" in answer:
            raise RpcRefused(answer["error"])
        self.validator(method).validate(answer["result"])
        return answer["result"]

    def validator(self, method: str) -> Draft202012Validator:
        """Give a validator of a method's result, to which members that it does not know are wrong."""
        if method not in _validators:
            described = document(self.port.table, self.port.errors, Info("test", "1"))
            for entry in described["methods"]:
                schema = {**entry["result"]["schema"], "components": described["components"]}
                _validators[entry["name"]] = Draft202012Validator(closed(schema))
        return _validators[method]


_validators: dict[str, Draft202012Validator] = {}
"""Made once: every world has the same methods."""


def closed(schema: Any) -> Any:
    """Forbid unknown members in every object that lists its members."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    if "properties" in made and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made

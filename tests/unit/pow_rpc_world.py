"""A PoW node in one thread, without disk, peers or clock: what the RPC tests talk to."""

from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from chaingen.builder import ChainBuilder
from chaingen.harness import open_ledger
from chaingen.specs import key, story_spec
from jsonschema import Draft202012Validator

from ioex_chain.crypto.address import script_to_address
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
from ioex_chain.rpc.pow.table import pow_port
from ioex_chain.rpc.pow_backend import NodeState, PowHeadChanged

T = TypeVar("T")
LIMITS = Limits(body_bytes=20_000_000)


class FakeBackend:
    """Runs everything at once in the caller's thread."""

    def __init__(self, chain: ChainBuilder, *, indexes: bool = True) -> None:
        self.spec = chain.spec
        self.clock = chain.clock
        self.indexes = indexes
        self.ledger = open_ledger(chain, machine=PowMachine(chain.spec, indexes=indexes))
        self.fees = FeeEstimator()
        self.mempool = Mempool(chain.spec, chain.clock, observer=self.fees)
        self.syncing = False
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
        return NodeState("0.1.0", self.started_at, "/home/u/.ioex", "devnet", self.syncing, ("careful",), 3)

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

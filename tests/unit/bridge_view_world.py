"""The bridge as a node's RPC and metrics read it, over both real chains in memory (`sim.bridge_world`)."""

from types import SimpleNamespace
from typing import Any, cast

import orjson
from sim.bridge_spec import USER_ACCOUNTS, bridge_network
from sim.bridge_world import BridgeWorld

from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.node.bridge_view import NodeBridge
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.eth.ioex_bridge import BridgeApi
from ioex_chain.rpc.eth_errors import eth_error_table
from ioex_chain.rpc.registry import MethodTable


class Refused(Exception):
    """An answered error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]


class ViewWorld:
    """Both chains, one relayer, and the view of one node over them."""

    def __init__(self, *, solo: bool = False, **bridge: int) -> None:
        """`bridge` replaces parameters of the network's BridgeSpec."""
        self.world = BridgeWorld(spec=bridge_network(bridge))
        self.k = self.world.spec.pow.burial_depth
        self.pow_service = pow_service(self.world.pow.ledger, self.world.pow.pool)
        listeners = self.pow_service.on_head
        self.world.pow.ledger.subscribe(lambda event: [tell(event) for tell in listeners])
        for _ in range(self.world.spec.pow.coinbase_maturity):
            self.mine()  # what genesis paid can be spent from now on
        self.start = self.world.pow.height
        self.view = self.over(self.pow_service, solo=solo)
        self.table = MethodTable()
        self.table.add_api(BridgeApi(self.world.spec, self.view))
        self.dispatcher = Dispatcher(self.table, errors=eth_error_table())

    def over(self, pow_service: Any, *, solo: bool = False) -> NodeBridge:
        """Give the view of a node with this PoW chain."""
        return NodeBridge(pow_service, cast("Any", _Dpos(self.world)), solo=solo)

    def pass_blocks(self, count: int, *, relayers: tuple[int, ...] = (0,)) -> None:
        """Produce DPoS blocks, and offer the settlement that is due after each."""
        for _ in range(count):
            self.world.produce(relayers=relayers)
            self.world.settle()

    def mine(self, count: int = 1) -> None:
        """Mine PoW blocks, and let the DPoS chain hear of each."""
        for _ in range(count):
            self.world.mine()
            self.pass_blocks(1)

    async def ask(self, method: str, *params: object) -> Any:
        """Call a method as a client does. Raises Refused."""
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        reply = await self.dispatcher.handle(body, CallContext())
        answer = orjson.loads(reply.body or b"")
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]


def pow_service(ledger: Any, mempool: Any, *, indexes: bool = True) -> SimpleNamespace:
    """Give a PoW service as far as the view reads one."""
    return SimpleNamespace(ledger=ledger, mempool=mempool, indexes=indexes, on_head=[])


class _Dpos:
    """A DPoS service as far as the view reads one; the ledger may be opened again."""

    def __init__(self, world: BridgeWorld) -> None:
        self._world = world
        self.spec = world.spec

    @property
    def ledger(self) -> Any:
        return self._world.dpos.ledger

    @property
    def engine(self) -> Any:
        return self._world.dpos.engine

    @property
    def finality(self) -> Any:
        floor = self.ledger.floor
        return SimpleNamespace(finalised=Checkpoint(floor.hash, floor.height))


ALICE = USER_ACCOUNTS[0]

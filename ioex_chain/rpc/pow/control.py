"""The node itself: help, state, stop."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.primitives.types import display
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.jsonio import number
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.format import difficulty_json
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import MethodTable, method

GROUP = "control"


class NodeStateJson(TypedDict):
    """What the node says of itself, in one answer. Only callers that authenticated see `datadir`.

    `headers`: height of the best header known; `blockspersecond` over the last minute; `secondsleft` until
    synced at that speed, null when unknown.
    """

    version: str
    network: str
    datadir: NotRequired[str]
    starttime: int
    uptime: int
    height: int
    headers: int
    bestblockhash: str
    difficulty: float
    connections: int
    connections_in: int
    connections_out: int
    syncing: bool
    blockspersecond: float
    secondsleft: float | None
    indexes: bool
    mempool: int
    maturity: int
    burial_depth: int
    max_reorg_depth: int
    dpos_rpc: str | None
    warnings: list[str]


class ControlApi:
    """Speaks for the node."""

    def __init__(self, backend: PowBackend, table: MethodTable) -> None:
        self._backend = backend
        self._table = table

    @method("help", group=GROUP, errors=(Code.METHOD_NOT_FOUND,))
    def help(
        self, command: Annotated[str | None, Field(max_length=64), Param("a method's name")] = None
    ) -> str:
        """List all methods by group, or tell all about one."""
        if command:
            text = self._table.help_text(command)
            if text is None:
                raise RpcError(Code.METHOD_NOT_FOUND, f"help: unknown command: {command}")
            return text
        groups = self._table.help_lines()
        return "\n\n".join(
            "\n".join([f"== {group.capitalize()} ==", *lines]) for group, lines in groups.items()
        )

    @method("uptime", group=GROUP)
    def uptime(self) -> int:
        """Give the seconds since the node started."""
        return max(0, self._backend.clock.now() - self._backend.state().started_at)

    @method("stop", group=GROUP, write=True)
    def stop(self) -> str:
        """Ask the node to flush everything and exit."""
        self._backend.request_stop()
        return "ioeX node stopping"

    @method("getnodestate", group=GROUP)
    def getnodestate(self, context: CallContext) -> NodeStateJson:
        """Tell version, network, height, peers and warnings of this node."""
        backend = self._backend
        state, head, spec = backend.state(), backend.ledger.head, backend.spec.pow
        sync, network = backend.peers.sync_state(), backend.peers.network_state()
        shown: NodeStateJson = {
            "version": state.version,
            "network": state.network,
            "starttime": state.started_at,
            "uptime": self.uptime(),
            "height": head.height,
            "headers": max(head.height, sync.header_height),
            "bestblockhash": display(head.hash),
            "difficulty": difficulty_json(head.header.bits),
            "connections": network.inbound + network.outbound,
            "connections_in": network.inbound,
            "connections_out": network.outbound,
            "syncing": sync.is_syncing,
            "blockspersecond": number(sync.blocks_per_second, 6),
            "secondsleft": None if sync.seconds_left is None else number(sync.seconds_left, 6),
            "indexes": backend.indexes,
            "mempool": len(backend.mempool),
            "maturity": spec.coinbase_maturity,
            "burial_depth": spec.burial_depth,
            "max_reorg_depth": spec.max_reorg_depth,
            "dpos_rpc": state.dpos_rpc,
            "warnings": list(state.warnings),
        }
        if context.authorized:
            shown["datadir"] = state.datadir
        return shown

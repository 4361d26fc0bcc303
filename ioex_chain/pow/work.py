"""Work for a miner, from a node in this process or over RPC."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ioex_chain.ledger.errors import MutatedBlock, Rejected, UnknownParent
from ioex_chain.pow.block import Block
from ioex_chain.pow.coinbase import WITNESS_RESERVED
from ioex_chain.pow.difficulty import target_of
from ioex_chain.pow.script import Form, classify
from ioex_chain.pow.template import EXTRA_NONCE_SIZE, Job, Template, TemplateTransaction
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash, from_display
from ioex_chain.spec.model import NetworkSpec

LONG_POLL_SECONDS = 60.0
T = TypeVar("T")


class WorkUnreadable(IoexError):
    """A node's block template that cannot be used; the message says why."""


class WorkUnavailable(IoexError):
    """The node gives no work now; try again."""


@dataclass(frozen=True, slots=True)
class Work:
    """A job, and the id with which a better one is waited for."""

    job: Job
    longpoll: str


class WorkSource(Protocol):
    """Where work comes from and blocks go. Both raise IoexError when the node cannot be asked."""

    async def get_template(self, longpoll: str | None) -> Work:
        """Give work; with the id of earlier work wait until there is better, or a while has passed."""
        ...

    async def submit(self, block: Block) -> str | None:
        """Hand in a solved block; None when it is the new head, else BIP 22's word why not."""
        ...


class LocalNode(Protocol):
    """What mining inside a node needs of it."""

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the ledger's thread."""
        ...

    def submit_block(self, block: Block) -> Awaitable[object]:
        """Accept a block: None when it changed no head. Raises Rejected."""
        ...

    async def wait_for_template_change(self, head: BlockHash, mempool_version: int, timeout: float) -> None:
        """Return on another head, better fees, or after `timeout` seconds."""
        ...


class LocalSource:
    """Work of a node in this process."""

    def __init__(
        self, node: LocalNode, build: Callable[[], Template], payout_script: bytes, tag: bytes = b""
    ) -> None:
        """`build` is `TemplateBuilder.build`; `tag` (at most 80 bytes) stands in every coinbase script."""
        self._node = node
        self._build = build
        self._payout_script = payout_script
        self._tag = tag

    async def get_template(self, longpoll: str | None) -> Work:
        """Give work; see WorkSource."""
        if longpoll:
            head, version = bytes.fromhex(longpoll[:64]), int(longpoll[64:])
            await self._node.wait_for_template_change(BlockHash(head), version, LONG_POLL_SECONDS)
        template = await self._node.call(self._build)
        job = template.job(self._payout_script, self._tag)
        return Work(job, f"{template.parent_hash.hex()}{template.pool_version}")

    async def submit(self, block: Block) -> str | None:
        """Hand in a block; see WorkSource."""
        try:
            changed = await self._node.submit_block(block)
        except UnknownParent:
            return "prev-blk-not-found"
        except (Rejected, MutatedBlock) as error:
            return str(getattr(error, "rule", None) or getattr(error, "reason", None) or error)
        return None if changed else "inconclusive"


class Caller(Protocol):
    """An RPC client."""

    def call(self, method: str, /, *params: Any) -> Awaitable[Any]:
        """Call a method. Raises IoexError."""
        ...


class RpcSource:
    """Work of a node over JSON-RPC: getblocktemplate with `coinbasetxn`, long poll, submitblock."""

    def __init__(self, client: Caller, spec: NetworkSpec, address: str | None = None) -> None:
        """`address` is paid instead of the node's own; the client's timeout must be above a minute."""
        self._client = client
        self._spec = spec
        self._request: dict[str, Any] = {
            "rules": ["segwit"],
            "capabilities": ["coinbasetxn", "longpoll", "workid"],
        }
        if address is not None:
            self._request["address"] = address

    async def get_template(self, longpoll: str | None) -> Work:
        """Give work; see WorkSource. Raises WorkUnreadable too."""
        request = {**self._request, "longpollid": longpoll} if longpoll else self._request
        return read_template(self._spec, await self._client.call("getblocktemplate", request))

    async def submit(self, block: Block) -> str | None:
        """Hand in a block; see WorkSource."""
        answer = await self._client.call("submitblock", block.encode().hex())
        return None if answer is None else str(answer)


def read_template(spec: NetworkSpec, answer: Any) -> Work:
    """Read getblocktemplate's answer (BIP 22/23). Raises WorkUnreadable."""
    try:
        return _read(spec, answer)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise WorkUnreadable(
            f"the node's block template cannot be read ({type(error).__name__}: {error}); "
            "is it a node of this network, of this version?"
        ) from error


def _read(spec: NetworkSpec, answer: Mapping[str, Any]) -> Work:
    if "coinbasetxn" not in answer:
        raise WorkUnreadable("the node gives no coinbasetxn, without which no valid block can be made")
    bits = int(answer["bits"], 16)
    target_of(bits)
    template = Template(
        spec=spec,
        parent_hash=BlockHash(from_display(answer["previousblockhash"])),
        height=int(answer["height"]),
        bits=bits,
        min_time=int(answer.get("mintime", answer["curtime"])),
        max_time=int(answer.get("maxtime", int(answer["curtime"]) + spec.pow.max_future)),
        time=int(answer["curtime"]),
        entries=tuple(
            TemplateTransaction(
                Transaction.decode(bytes.fromhex(item["data"])),
                int(item.get("fee", 0)),
                int(item.get("sigops", 0)),
            )
            for item in answer["transactions"]
        ),
    )
    coinbase = Transaction.decode(bytes.fromhex(answer["coinbasetxn"]["data"]))
    if not coinbase.is_coinbase:
        raise WorkUnreadable("the node's coinbasetxn is no coinbase")
    if len(coinbase.inputs[0].script) > 100 - EXTRA_NONCE_SIZE:
        raise WorkUnreadable("the node's coinbase leaves no room for an extra nonce")
    if not coinbase.inputs[0].witness:  # BIP 22 clients hash the form without it
        coinbase = coinbase.with_witnesses([(WITNESS_RESERVED,)])
    return Work(Job(template, coinbase), str(answer.get("longpollid", "")))


def miner_value(coinbase: Transaction) -> int:
    """Give what a coinbase pays in units to anyone but the bridge reserve."""
    paid = 0
    for output in coinbase.outputs:
        form = classify(output.script)
        if form is not None and not form.is_reserve and form is not Form.DATA:
            paid += output.value
    return paid

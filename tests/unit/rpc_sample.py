"""A small API with one method for each way in which the server can be asked to run something."""

import asyncio
import threading
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.primitives.errors import IoexError
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher, Reply
from ioex_chain.rpc.errors import Code, ErrorTable, Flavour, Row, RpcError
from ioex_chain.rpc.jsonio import AmountParam, JsonAmount, amount, loads
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import MethodTable, method

HashHex = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), Param("a block's hash")]


class BlockMissing(IoexError):
    """A domain error with a code."""


class StorePath(IoexError):
    """A domain error whose text must stay inside."""


ROWS = {BlockMissing: Code.INVALID_ADDRESS_OR_KEY, StorePath: Row(Code.DATABASE_ERROR, "Database error")}


class Payment(TypedDict):
    """Where to, and how much."""

    address: str
    amount: JsonAmount


class SampleApi:
    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.finished_writes = 0
        self.polls = 0
        self.release = threading.Event()
        self.go_on = asyncio.Event()

    @method("echo", group="sample")
    def echo(self, value: Any = None) -> Any:
        """Give back what was sent."""
        return value

    @method("getblock", group="blocks", errors=(BlockMissing,))
    async def getblock(
        self,
        blockhash: HashHex,
        verbosity: Annotated[
            bool | Annotated[int, Field(ge=0, le=3)], Param("0 to 3", also=("verbose",))
        ] = 1,
    ) -> str | dict[str, Any]:
        """Give a block.

        Verbosity 0 is the block in hex.
        """
        return {"hash": blockhash, "verbosity": verbosity}

    @method("choose", group="sample")
    def choose(self, kind: Literal["a", "b"], from_: Annotated[int, Param(name="from")] = 7) -> list[str]:
        """Take one of two words."""
        return [kind] * from_

    @method("many", group="sample")
    def many(self, hashes: list[HashHex]) -> int:
        """Count hashes."""
        return len(hashes)

    @method("pay", group="wallet", write=True)
    async def pay(self, address: str, value: AmountParam) -> Payment:
        """Pay an amount."""
        return {"address": address, "amount": amount(value)}

    @method("missing", group="faults", errors=(BlockMissing,))
    def missing(self) -> None:
        """Raise a domain error."""
        raise BlockMissing("Block not found")

    @method("damaged", group="faults")
    def damaged(self) -> None:
        """Raise a domain error that names a path."""
        raise StorePath("/home/u/.ioex/chain is damaged")

    @method("broken", group="faults")
    async def broken(self) -> None:
        """Raise what nobody foresaw."""
        raise ZeroDivisionError("/etc/secret")

    @method("unwritable", group="faults")
    def unwritable(self) -> Any:
        """Give what JSON cannot hold."""
        return b"bytes"

    @method("bad_data", group="faults")
    def bad_data(self) -> None:
        """Raise an error whose data JSON cannot hold."""
        raise RpcError(3, "reverted", {1, 2})

    @method("deep", group="faults")
    def deep(self) -> None:
        """Run out of stack."""
        self.deep()

    @method("hang", group="slow", timeout=0.02)
    async def hang(self) -> None:
        """Never end, but heed cancellation."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    @method("deaf", group="slow", timeout=0.02)
    async def deaf(self) -> None:
        """Not even heed cancellation."""
        while not self.go_on.is_set():
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled.set()

    @method("compute", group="slow", thread=True, timeout=0.05)
    def compute(self, wait: bool = False) -> str:
        """Run in a thread."""
        if wait:
            self.release.wait(5)
        return threading.current_thread().name

    @method("longpoll", group="slow", timeout=60.0)
    async def longpoll(self) -> str:
        """Wait for something to happen."""
        self.polls += 1
        await self.go_on.wait()
        return "happened"

    @method("write_slowly", group="slow", write=True)
    async def write_slowly(self) -> None:
        """Change something, and end even when the caller has gone."""
        await self.go_on.wait()
        self.finished_writes += 1

    @method("whoami", group="sample")
    def whoami(self, context: CallContext) -> bool:
        """Say whether the caller has authenticated."""
        return context.authorized

    @method("large", group="sample")
    def large(self, size: Annotated[int, Field(ge=0)]) -> str:
        """Give a long string."""
        return "x" * size


def table() -> tuple[SampleApi, MethodTable]:
    api = SampleApi()
    methods = MethodTable()
    methods.add_api(api)
    return api, methods


def dispatcher(
    flavour: Flavour = Flavour.CORE, limits: Limits | None = None, **options: Any
) -> tuple[SampleApi, Dispatcher]:
    api, methods = table()
    return api, Dispatcher(methods, errors=ErrorTable(ROWS, flavour), limits=limits, **options)


def parse(reply: Reply) -> Any:
    assert reply.body is not None
    return loads(reply.body, Limits())

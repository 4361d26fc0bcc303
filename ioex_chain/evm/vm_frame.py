"""A message call or creation in progress."""

from eth.exceptions import OutOfGas, VMError

from ioex_chain.evm.vm_world import World

_WORD = 32


class Message:
    """What a frame was called with. `kind` is the name of the operation that called it."""

    __slots__ = (
        "code",
        "code_address",
        "data",
        "depth",
        "gas",
        "is_static",
        "kind",
        "runs_precompile",
        "sender",
        "target",
        "to",
        "value",
    )

    def __init__(
        self,
        kind: str,
        *,
        sender: bytes,
        target: bytes,
        to: bytes,
        value: int,
        data: bytes,
        code: bytes,
        gas: int,
        depth: int = 0,
        code_address: bytes | None = None,
        is_static: bool = False,
        runs_precompile: bool = True,
    ) -> None:
        self.kind = kind
        self.sender = sender
        self.target = target
        """Whose storage and balance it works on."""
        self.to = to
        """Whom the caller named: the code's account."""
        self.value = value
        self.data = data
        self.code = code
        self.gas = gas
        self.depth = depth
        self.code_address = to if code_address is None else code_address
        self.is_static = is_static
        self.runs_precompile = runs_precompile

    @property
    def data_as_bytes(self) -> bytes:
        """The call data, by the name that py-evm's precompiles use."""
        return self.data


class Frame:
    """The machine of one message: stack of integers, memory, gas. Precompiles of py-evm work on it too."""

    __slots__ = ("error", "gas", "memory", "msg", "output", "pc", "return_data", "stack", "world")

    def __init__(self, world: World, msg: Message) -> None:
        self.world = world
        self.msg = msg
        self.gas = msg.gas
        self.stack: list[int] = []
        self.memory = bytearray()
        self.return_data = b""
        self.output = b""
        self.error: VMError | None = None
        self.pc = 0

    def consume_gas(self, amount: int, reason: str = "") -> None:
        """Take gas; raises OutOfGas when there is not enough."""
        if amount > self.gas:
            raise OutOfGas(reason)
        self.gas -= amount

    def extend_memory(self, start: int, size: int) -> None:
        """Pay for and add the memory up to `start` + `size`, in words; nothing when size is 0."""
        if size == 0 or start + size <= len(self.memory):
            return
        old = len(self.memory) >> 5
        new = (start + size + 31) >> 5
        cost = (new - old) * 3 + new * new // 512 - old * old // 512
        if cost > self.gas:
            raise OutOfGas("memory")
        self.gas -= cost
        self.memory.extend(bytes((new - old) * _WORD))

    def read_memory(self, start: int, size: int) -> bytes:
        """Pay for and read memory; empty when size is 0, wherever `start` points."""
        if size == 0:
            return b""
        self.extend_memory(start, size)
        return bytes(self.memory[start : start + size])

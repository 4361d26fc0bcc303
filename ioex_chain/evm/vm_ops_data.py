"""Operations on memory, call data, code, block facts and accounts that read only."""

from eth.exceptions import FullStack, Halt, OutOfBoundsRead, OutOfGas, Revert

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.vm_frame import Frame

_STACK_LIMIT = 1024
_COLD_ACCOUNT = 2600
_COLD_SLOT = 2100
_WARM = 100
_ADDRESS = (1 << 160) - 1
_WORD_BYTES = 32


def push(f: Frame, value: int) -> None:
    """Push one word; raises FullStack at 1,024."""
    if len(f.stack) >= _STACK_LIMIT:
        raise FullStack("stack limit reached 1024 (1023)")
    f.stack.append(value)


def pop_address(f: Frame) -> bytes:
    """Pop a word and cut it to an address."""
    return (f.stack.pop() & _ADDRESS).to_bytes(20, "big")


def pay_copy(f: Frame, size: int, per_word: int = 3) -> None:
    """Pay for copying or hashing `size` bytes by the word."""
    cost = per_word * ((size + 31) >> 5)
    if cost > f.gas:
        raise OutOfGas("copy")
    f.gas -= cost


def pay_account(f: Frame, address: bytes) -> None:
    """Pay for touching an account and warm it (EIP-2929)."""
    cost = _COLD_ACCOUNT if f.world.warm_address(address) else _WARM
    if cost > f.gas:
        raise OutOfGas("account access")
    f.gas -= cost


def _copy(f: Frame, source: bytes, target: int, start: int, size: int) -> None:
    if size:
        part = source[start : start + size] if start < len(source) else b""
        f.memory[target : target + size] = part.ljust(size, b"\0")


def stop(f: Frame) -> None:  # noqa: ARG001
    """STOP."""
    raise Halt("STOP")


def keccak(f: Frame) -> None:
    """KECCAK256: 6 gas per word."""
    s = f.stack
    start = s.pop()
    size = s[-1]
    pay_copy(f, size, 6)
    f.extend_memory(start, size)
    s[-1] = int.from_bytes(keccak256(bytes(f.memory[start : start + size])), "big")


def address(f: Frame) -> None:
    """ADDRESS."""
    push(f, int.from_bytes(f.msg.target, "big"))


def balance(f: Frame) -> None:
    """BALANCE."""
    account = pop_address(f)
    pay_account(f, account)
    f.stack.append(f.world.get_balance(account))


def origin(f: Frame) -> None:
    """ORIGIN."""
    push(f, int.from_bytes(f.world.origin, "big"))


def caller(f: Frame) -> None:
    """CALLER."""
    push(f, int.from_bytes(f.msg.sender, "big"))


def callvalue(f: Frame) -> None:
    """CALLVALUE."""
    push(f, f.msg.value)


def calldataload(f: Frame) -> None:
    """CALLDATALOAD: what lies beyond the data is zero."""
    s = f.stack
    start = s[-1]
    part = f.msg.data[start : start + _WORD_BYTES] if start < len(f.msg.data) else b""
    s[-1] = int.from_bytes(part, "big") << 8 * (_WORD_BYTES - len(part))


def calldatasize(f: Frame) -> None:
    """CALLDATASIZE."""
    push(f, len(f.msg.data))


def _copy_operation(f: Frame, source: bytes) -> None:
    s = f.stack
    target, start, size = s.pop(), s.pop(), s.pop()
    pay_copy(f, size)
    f.extend_memory(target, size)
    _copy(f, source, target, start, size)


def calldatacopy(f: Frame) -> None:
    """CALLDATACOPY."""
    _copy_operation(f, f.msg.data)


def codesize(f: Frame) -> None:
    """CODESIZE."""
    push(f, len(f.msg.code))


def codecopy(f: Frame) -> None:
    """CODECOPY."""
    _copy_operation(f, f.msg.code)


def gasprice(f: Frame) -> None:
    """GASPRICE: the effective price of the transaction."""
    push(f, f.world.gas_price)


def extcodesize(f: Frame) -> None:
    """EXTCODESIZE: a delegation's own 23 bytes count (EIP-7702)."""
    account = pop_address(f)
    pay_account(f, account)
    f.stack.append(len(f.world.get_code(account)))


def extcodecopy(f: Frame) -> None:
    """EXTCODECOPY."""
    account = pop_address(f)
    s = f.stack
    target, start, size = s.pop(), s.pop(), s.pop()
    pay_copy(f, size)
    pay_account(f, account)
    f.extend_memory(target, size)
    if size:
        _copy(f, f.world.get_code(account), target, start, size)


def returndatasize(f: Frame) -> None:
    """RETURNDATASIZE."""
    push(f, len(f.return_data))


def returndatacopy(f: Frame) -> None:
    """RETURNDATACOPY: reading past the end is an error (EIP-211)."""
    s = f.stack
    target, start, size = s.pop(), s.pop(), s.pop()
    pay_copy(f, size)
    f.extend_memory(target, size)
    if start + size > len(f.return_data):
        raise OutOfBoundsRead
    _copy(f, f.return_data, target, start, size)


def extcodehash(f: Frame) -> None:
    """EXTCODEHASH: 0 for an empty account (EIP-1052)."""
    account = pop_address(f)
    pay_account(f, account)
    world = f.world
    empty = world.account_is_empty(account)
    f.stack.append(0 if empty else int.from_bytes(world.get_code_hash(account), "big"))


def blockhash(f: Frame) -> None:
    """BLOCKHASH: the last 256 ancestors, else 0."""
    s = f.stack
    number = s.pop()
    env = f.world.env
    known = env.number - 256 <= number < env.number
    s.append(int.from_bytes((env.block_hash(number) if known else None) or b"", "big"))


def coinbase(f: Frame) -> None:
    """COINBASE."""
    push(f, int.from_bytes(f.world.env.beneficiary, "big"))


def timestamp(f: Frame) -> None:
    """TIMESTAMP."""
    push(f, f.world.env.timestamp)


def number(f: Frame) -> None:
    """Do NUMBER."""
    push(f, f.world.env.number)


def prevrandao(f: Frame) -> None:
    """PREVRANDAO: the header's mixHash (EIP-4399)."""
    push(f, int.from_bytes(f.world.env.prev_randao, "big"))


def gaslimit(f: Frame) -> None:
    """GASLIMIT of the block."""
    push(f, f.world.env.gas_limit)


def chainid(f: Frame) -> None:
    """CHAINID."""
    push(f, f.world.env.chain_id)


def selfbalance(f: Frame) -> None:
    """SELFBALANCE."""
    push(f, f.world.get_balance(f.msg.target))


def basefee(f: Frame) -> None:
    """BASEFEE."""
    push(f, f.world.env.base_fee)


def blobhash(f: Frame) -> None:
    """BLOBHASH: no transaction of this chain has blobs, so always 0."""
    s = f.stack
    s[-1] = 0 & s[-1]


def blobbasefee(f: Frame) -> None:
    """BLOBBASEFEE."""
    push(f, f.world.rules.blob_base_fee)


def pop(f: Frame) -> None:
    """POP."""
    f.stack.pop()


def mload(f: Frame) -> None:
    """MLOAD."""
    s = f.stack
    start = s[-1]
    if start + _WORD_BYTES > len(f.memory):
        f.extend_memory(start, _WORD_BYTES)
    s[-1] = int.from_bytes(f.memory[start : start + _WORD_BYTES], "big")


def mstore(f: Frame) -> None:
    """MSTORE."""
    s = f.stack
    start, value = s.pop(), s.pop()
    if start + _WORD_BYTES > len(f.memory):
        f.extend_memory(start, _WORD_BYTES)
    f.memory[start : start + _WORD_BYTES] = value.to_bytes(_WORD_BYTES, "big")


def mstore8(f: Frame) -> None:
    """MSTORE8."""
    s = f.stack
    start, value = s.pop(), s.pop()
    f.extend_memory(start, 1)
    f.memory[start] = value & 0xFF


def pc(f: Frame) -> None:
    """PC: the position of this operation."""
    push(f, f.pc)


def msize(f: Frame) -> None:
    """MSIZE."""
    push(f, len(f.memory))


def gas(f: Frame) -> None:
    """GAS: what is left after this operation."""
    push(f, f.gas)


def jumpdest(f: Frame) -> None:
    """JUMPDEST."""


def sload(f: Frame) -> None:
    """SLOAD (EIP-2929)."""
    s = f.stack
    slot = s[-1]
    world = f.world
    cost = _COLD_SLOT if world.warm_slot(f.msg.target, slot) else _WARM
    if cost > f.gas:
        raise OutOfGas("SLOAD")
    f.gas -= cost
    s[-1] = world.get_storage(f.msg.target, slot)


def tload(f: Frame) -> None:
    """TLOAD (EIP-1153)."""
    s = f.stack
    s[-1] = f.world.transient.get((f.msg.target, s[-1]), 0)


def mcopy(f: Frame) -> None:
    """MCOPY (EIP-5656): the areas may overlap."""
    s = f.stack
    target, start, size = s.pop(), s.pop(), s.pop()
    pay_copy(f, size)
    f.extend_memory(max(target, start), size)
    if size:
        f.memory[target : target + size] = f.memory[start : start + size]


def return_(f: Frame) -> None:
    """RETURN."""
    s = f.stack
    start, size = s.pop(), s.pop()
    f.output = f.read_memory(start, size)
    raise Halt("RETURN")


def revert(f: Frame) -> None:
    """REVERT (EIP-140): keeps the gas left."""
    s = f.stack
    start, size = s.pop(), s.pop()
    f.output = f.read_memory(start, size)
    raise Revert("execution reverted")

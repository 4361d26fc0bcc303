"""Transactions of types 0, 1, 2 and 4: bytes, hashes, and what holds without looking at state.

Sources: EIP-155, EIP-2718, EIP-2930, EIP-1559, EIP-7702; gas by EIP-2028, EIP-3860 and EIP-7623.
"""

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.secp256k1 import HALF_ORDER, ORDER
from ioex_chain.evm.errors import (
    BlobsNotSupported,
    FieldOverflow,
    FloorGasTooLow,
    GasPriceOverflow,
    GasUintOverflow,
    InitcodeTooLarge,
    IntrinsicGasTooLow,
    InvalidTransaction,
    ListsBeyondGas,
    MalformedSignature,
    MalformedTransaction,
    NoAuthorizations,
    NonceExhausted,
    SetCodeCreates,
    TipAboveFeeCap,
    UnsupportedType,
    WrongChainId,
)
from ioex_chain.evm.strict_rlp import EMPTY_STRING, Field, encode_uint, list_start, read_fields
from ioex_chain.evm.types import AccessEntry, Authorization, Transaction
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.rlp import encode, encode_string, list_head, read_head, wrap_list
from ioex_chain.primitives.rlp import encode_integer as uint

GAS_TRANSACTION = 21_000
GAS_CREATE = 32_000
GAS_INITCODE_WORD = 2
GAS_ACCESS_ADDRESS = 2_400
GAS_ACCESS_SLOT = 1_900
GAS_AUTHORIZATION = 25_000
GAS_TOKEN = 4
GAS_FLOOR_TOKEN = 10
MAX_INITCODE = 49_152
MAX_NONCE = 2**64 - 1
_MAX_GAS = 2**64
_MAX_COST = 2**256
_ADDRESS_HEAD, _KEY_HEAD = 0x94, 0xA0
"""What RLP puts before 20 and before 32 bytes."""
_AUTHORIZATION_FIELDS = 6
_LEGACY_FIELDS, _TYPE_1_FIELDS, _TYPE_2_FIELDS, _TYPE_4_FIELDS = 9, 11, 12, 13


def decode_transaction(raw: bytes, most_gas: int = _MAX_GAS) -> Transaction:
    """Decode EIP-2718 bytes: type || payload, or the RLP list of type 0.

    Lists are read item by item, and nothing is made of those that cost more than the transaction's gas or
    `most_gas`, the block's: bytes that can be no transaction cost no more than a look at them. Raises
    MalformedTransaction (UnsupportedType, FieldOverflow), MalformedSignature, ListsBeyondGas: DecodeErrors.
    """
    if not raw:
        raise MalformedTransaction("no bytes")
    kind = raw[0]
    try:
        if kind >= 0xC0:
            return _decode_legacy(raw)
        if kind == 2:
            return _decode_dynamic_fee(raw, most_gas)
        if kind == 1:
            return _decode_access_list(raw, most_gas)
        if kind == 4:
            return _decode_set_code(raw, most_gas)
    except InvalidTransaction:
        raise
    except DecodeError as error:
        raise MalformedTransaction(str(error)) from error
    if kind == 3:
        raise BlobsNotSupported
    raise UnsupportedType(f"type {kind}; there are 0, 1, 2 and 4")


def _fields(raw: bytes, count: int) -> list[Field]:
    at = 1 if raw[0] < 0xC0 else 0
    items = read_fields(raw, list_start(raw, at), len(raw), count)
    if len(items) != count:
        raise MalformedTransaction(f"{len(items)} fields instead of {count}")
    return items


def _decode_legacy(raw: bytes) -> Transaction:
    items = _fields(raw, _LEGACY_FIELDS)
    nonce, price, gas, to, value, data, v_field, r_field, s_field = items
    v = _uint(v_field, 32, "v")
    gas_price = _uint(price, 32, "gasPrice")
    unsigned = _before_signature(raw, 0, (v_field, r_field, s_field))
    if v in (27, 28):
        chain_id, y_parity, payload = None, v - 27, unsigned
    elif v >= 35:
        chain_id, y_parity = (v - 35) >> 1, (v - 35) & 1
        payload = unsigned + encode_uint(chain_id) + EMPTY_STRING + EMPTY_STRING
    else:
        raise MalformedSignature(f"v is {v}, neither 27, 28 nor 35 and above")
    r, s = _signature(r_field, s_field)
    return Transaction(
        raw=raw,
        hash=keccak256(raw),
        type=0,
        chain_id=chain_id,
        nonce=_uint(nonce, 8, "nonce"),
        max_priority_fee=gas_price,
        max_fee=gas_price,
        gas=_gas(gas),
        to=_to(to),
        value=_uint(value, 32, "value"),
        data=_string(data, "data"),
        access_list=(),
        authorizations=(),
        y_parity=y_parity,
        r=r,
        s=s,
        signing_hash=keccak256(wrap_list(payload)),
    )


def _decode_access_list(raw: bytes, most_gas: int) -> Transaction:
    chain_id, nonce, price, gas, to, value, data, accesses, *signature = _fields(raw, _TYPE_1_FIELDS)
    gas_price = _uint(price, 32, "gasPrice")
    return _typed(
        raw, chain_id, nonce, gas_price, gas_price, gas, to, value, data, accesses, None, signature, most_gas
    )


def _decode_dynamic_fee(raw: bytes, most_gas: int) -> Transaction:
    chain_id, nonce, tip, cap, gas, to, value, data, accesses, *signature = _fields(raw, _TYPE_2_FIELDS)
    return _typed(
        raw,
        chain_id,
        nonce,
        _uint(tip, 32, "maxPriorityFeePerGas"),
        _uint(cap, 32, "maxFeePerGas"),
        gas,
        to,
        value,
        data,
        accesses,
        None,
        signature,
        most_gas,
    )


def _decode_set_code(raw: bytes, most_gas: int) -> Transaction:
    chain_id, nonce, tip, cap, gas, to, value, data, accesses, authorizations, *signature = _fields(
        raw, _TYPE_4_FIELDS
    )
    if to == b"":
        raise MalformedTransaction(SetCodeCreates.reason)
    return _typed(
        raw,
        chain_id,
        nonce,
        _uint(tip, 32, "maxPriorityFeePerGas"),
        _uint(cap, 32, "maxFeePerGas"),
        gas,
        to,
        value,
        data,
        accesses,
        authorizations,
        signature,
        most_gas,
    )


def _typed(
    raw: bytes,
    chain_id: Field,
    nonce: Field,
    max_priority_fee: int,
    max_fee: int,
    gas: Field,
    to: Field,
    value: Field,
    data: Field,
    accesses: Field,
    authorizations: Field | None,
    signature: list[Field],
    most_gas: int,
) -> Transaction:
    y_field, r_field, s_field = signature
    y_parity = _uint(y_field, 32, "yParity")
    if y_parity > 1:
        raise MalformedSignature(f"yParity is {y_parity}, neither 0 nor 1")
    r, s = _signature(r_field, s_field)
    unsigned = _before_signature(raw, 1, (y_field, r_field, s_field))
    gas_limit = _gas(gas)
    spare = min(gas_limit, most_gas) - GAS_TRANSACTION
    access_list = _access_list(raw, accesses, spare)
    if access_list:
        spare -= access_gas(access_list)
    return Transaction(
        raw=raw,
        hash=keccak256(raw),
        type=raw[0],
        chain_id=_uint(chain_id, 8, "chainId"),
        nonce=_uint(nonce, 8, "nonce"),
        max_priority_fee=max_priority_fee,
        max_fee=max_fee,
        gas=gas_limit,
        to=_to(to),
        value=_uint(value, 32, "value"),
        data=_string(data, "data"),
        access_list=access_list,
        authorizations=() if authorizations is None else _authorizations(raw, authorizations, spare),
        y_parity=y_parity,
        r=r,
        s=s,
        signing_hash=keccak256(raw[:1] + list_head(len(unsigned)) + unsigned),
    )


def _before_signature(raw: bytes, at: int, signature: tuple[Field, Field, Field]) -> bytes:
    """Give the encoded fields before v, r and s: decoding was strict, so their sizes are known."""
    first = raw[at]
    start = at + (1 if first < 0xF8 else first - 0xF6)
    end = len(raw)
    for item in signature:
        field = _string(item, "signature")
        end -= 1 if len(field) == 1 and field[0] < 0x80 else len(field) + 1
    return raw[start:end]


def _string(item: Field, name: str) -> bytes:
    if isinstance(item, tuple):
        raise MalformedTransaction(f"{name} is a list instead of a byte string")
    return item


def _uint(item: Field, width: int, name: str) -> int:
    field = _string(item, name)
    if field and field[0] == 0:
        raise MalformedTransaction(f"{name} has leading zeros")
    if len(field) > width:
        raise FieldOverflow(f"{name} has more than {8 * width} bits")
    return int.from_bytes(field, "big")


def _gas(item: Field) -> int:
    try:
        return _uint(item, 8, "gas")
    except FieldOverflow as error:
        raise GasUintOverflow from error


def _to(item: Field) -> bytes | None:
    field = _string(item, "to")
    if len(field) not in (0, 20):
        raise MalformedTransaction(f"to is {len(field)} bytes, an address is 20")
    return field or None


def _signature(r_field: Field, s_field: Field) -> tuple[int, int]:
    r, s = _uint(r_field, 32, "r"), _uint(s_field, 32, "s")
    if not 0 < r < ORDER:
        raise MalformedSignature("r is not between 1 and the group order less 1")
    if not 0 < s <= HALF_ORDER:
        raise MalformedSignature("s is not between 1 and half the group order (EIP-2)")
    return r, s


def _access_list(raw: bytes, field: Field, spare: int) -> tuple[AccessEntry, ...]:
    if isinstance(field, bytes):
        raise MalformedTransaction("accessList is not a list")
    at, end = field
    if at == end:
        return ()
    entries = []
    while at < end:
        is_list, start, at = read_head(raw, at, end)
        slots = _slots(raw, start, at) if is_list and raw[start] == _ADDRESS_HEAD else None
        if slots is None:
            raise MalformedTransaction("an entry of accessList is not [20-byte address, [32-byte keys]]")
        spare -= GAS_ACCESS_ADDRESS + GAS_ACCESS_SLOT * len(slots)
        if spare < 0:
            raise ListsBeyondGas("its access list costs more than its gas, or a block's")
        entries.append(
            AccessEntry(raw[start + 1 : start + 21], tuple([raw[place + 1 : place + 33] for place in slots]))
        )
    return tuple(entries)


def _slots(raw: bytes, start: int, end: int) -> range | None:
    """Give where the keys of an entry stand that begins with an address; None if it is none."""
    at = start + 21
    if at >= end:
        return None
    is_list, first, last = read_head(raw, at, end)
    slots = range(first, last, 33)
    if not is_list or last != end or (last - first) % 33:
        return None
    return slots if raw[first:last:33].count(_KEY_HEAD) == len(slots) else None


def _authorizations(raw: bytes, field: Field, spare: int) -> tuple[Authorization, ...]:
    if isinstance(field, bytes):
        raise MalformedTransaction("authorizationList is not a list")
    at, end = field
    if at == end:
        raise MalformedTransaction(NoAuthorizations.reason)
    found = []
    while at < end:
        is_list, start, at = read_head(raw, at, end)
        if not is_list:
            raise MalformedTransaction("an authorisation is not a list")
        spare -= GAS_AUTHORIZATION
        if spare < 0:
            raise ListsBeyondGas("its authorisations cost more than its gas, or a block's")
        found.append(_authorization(read_fields(raw, start, at, _AUTHORIZATION_FIELDS)))
    return tuple(found)


def _authorization(fields: list[Field]) -> Authorization:
    """EIP-7702 bounds only the sizes here; an unsound authorisation is skipped at execution."""
    if len(fields) != _AUTHORIZATION_FIELDS:
        raise MalformedTransaction(f"an authorisation does not have {_AUTHORIZATION_FIELDS} fields")
    chain_id, address, nonce, y_parity, r, s = fields
    target = _string(address, "address")
    if len(target) != 20:
        raise MalformedTransaction("the address of an authorisation is not 20 bytes")
    return Authorization(
        chain_id=_uint(chain_id, 32, "chainId"),
        address=target,
        nonce=_uint(nonce, 8, "nonce"),
        y_parity=_uint(y_parity, 1, "yParity"),
        r=_uint(r, 32, "r"),
        s=_uint(s, 32, "s"),
    )


def unsigned_payload(tx: Transaction) -> bytes:
    """Give what is hashed to be signed, from the fields (`raw` and signature are not looked at)."""
    to = encode_string(tx.to or b"")
    gas, value, data = encode_uint(tx.gas), encode_uint(tx.value), encode_string(tx.data)
    nonce, tip, cap = encode_uint(tx.nonce), encode_uint(tx.max_priority_fee), encode_uint(tx.max_fee)
    if tx.type == 0:
        tail = b"" if tx.chain_id is None else encode_uint(tx.chain_id) + EMPTY_STRING + EMPTY_STRING
        return wrap_list(nonce + cap + gas + to + value + data + tail)
    fees = cap if tx.type == 1 else tip + cap
    head = encode_uint(tx.chain_id or 0) + nonce + fees + gas + to + value + data
    return bytes((tx.type,)) + wrap_list(head + _lists(tx))


def _lists(tx: Transaction) -> bytes:
    accesses = encode([[entry.address, list(entry.slots)] for entry in tx.access_list])
    if tx.type != 4:
        return accesses
    return accesses + encode(
        [
            [uint(auth.chain_id), auth.address, *map(uint, (auth.nonce, auth.y_parity, auth.r, auth.s))]
            for auth in tx.authorizations
        ]
    )


def signing_hash(tx: Transaction) -> bytes:
    """Give the digest that a signature of these fields is over."""
    return keccak256(unsigned_payload(tx))


def signed(tx: Transaction, y_parity: int, r: int, s: int) -> Transaction:
    """Give the transaction of these fields with this signature; `raw` and the hashes are made anew."""
    payload = unsigned_payload(tx)
    at = 0 if tx.type == 0 else 1
    start = at + (1 if payload[at] < 0xF8 else payload[at] - 0xF6)
    fields, v = payload[start:], y_parity
    if tx.type == 0 and tx.chain_id is None:
        v = 27 + y_parity
    elif tx.type == 0 and tx.chain_id is not None:
        fields = fields[: -len(encode_uint(tx.chain_id)) - 2]
        v = 35 + 2 * tx.chain_id + y_parity
    signature = encode_uint(v) + encode_uint(r) + encode_uint(s)
    return decode_transaction(payload[:at] + wrap_list(fields + signature))


def data_tokens(data: bytes) -> int:
    """Give the tokens of calldata (EIP-7623): 1 for a zero byte, 4 for another."""
    return 4 * len(data) - 3 * data.count(0)


def access_gas(entries: tuple[AccessEntry, ...]) -> int:
    """Give what an access list costs (EIP-2930)."""
    if not entries:
        return 0
    return GAS_ACCESS_ADDRESS * len(entries) + GAS_ACCESS_SLOT * sum(len(entry.slots) for entry in entries)


def intrinsic_gas(tx: Transaction) -> int:
    """Give the gas that the transaction costs before execution."""
    gas = GAS_TRANSACTION
    if tx.data:
        gas += GAS_TOKEN * data_tokens(tx.data)
    if tx.to is None:
        gas += GAS_CREATE + GAS_INITCODE_WORD * ((len(tx.data) + 31) // 32)
    return gas + access_gas(tx.access_list) + GAS_AUTHORIZATION * len(tx.authorizations)


def floor_gas(tx: Transaction) -> int:
    """Give the least that the transaction costs whatever it executes (EIP-7623)."""
    return GAS_TRANSACTION + GAS_FLOOR_TOKEN * data_tokens(tx.data)


def check_transaction(tx: Transaction, chain_id: int) -> int:
    """Check what holds without state; give the intrinsic gas. Raises InvalidTransaction."""
    if tx.chain_id is not None and tx.chain_id != chain_id:
        raise WrongChainId(f"it is signed for chain {tx.chain_id}, this is {chain_id}")
    if tx.nonce >= MAX_NONCE:
        raise NonceExhausted
    if tx.max_priority_fee > tx.max_fee:
        raise TipAboveFeeCap
    if tx.gas >= _MAX_GAS:
        raise GasUintOverflow
    if tx.gas * tx.max_fee >= _MAX_COST:
        raise GasPriceOverflow
    if tx.to is None and len(tx.data) > MAX_INITCODE:
        raise InitcodeTooLarge(f"{len(tx.data)} bytes, at most {MAX_INITCODE}")
    if tx.type == 4 and tx.to is None:
        raise SetCodeCreates
    if tx.type == 4 and not tx.authorizations:
        raise NoAuthorizations
    return _check_gas(tx)


def _check_gas(tx: Transaction) -> int:
    needed = intrinsic_gas(tx)
    if tx.gas < needed:
        raise IntrinsicGasTooLow(f"have {tx.gas}, want {needed}")
    if tx.data and tx.gas < floor_gas(tx):
        raise FloorGasTooLow(f"have {tx.gas}, want {floor_gas(tx)}")
    return needed

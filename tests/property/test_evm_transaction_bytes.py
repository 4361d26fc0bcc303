"""Reading a transaction's bytes: what is taken is what its form allows; refusing the rest costs little."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioex_chain.crypto.secp256k1 import HALF_ORDER, ORDER
from ioex_chain.dpos import codec
from ioex_chain.dpos.block import Payload
from ioex_chain.dpos.header import Header, SealedHeader
from ioex_chain.evm import transactions
from ioex_chain.evm.strict_rlp import Item, decode
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.rlp import encode, read_head, wrap_list
from ioex_chain.primitives.rlp import encode_integer as uint

HERE, KEY = b"\x11" * 20, b"\x22" * 32
NUMBERS = st.sampled_from(
    [b"", b"\x01", b"\x80", b"\xff" * 8, b"\xff" * 9, b"\xff" * 32, b"\xff" * 33, b"\0"]
)
ODD: st.SearchStrategy[Item] = st.deferred(
    lambda: NUMBERS | st.sampled_from([HERE, KEY, HERE[1:], KEY[1:], [], [HERE, []], [HERE, [KEY]], [[]]])
)
GAS = st.sampled_from([21_000, 23_400, 25_300, 27_200, 46_000, 50_000, 100_000]).map(uint)
ACCESSES = st.lists(st.tuples(st.just(HERE), st.lists(st.just(KEY), max_size=3)).map(list), max_size=3)
AUTHORIZATION = [b"\x01", HERE, b"", b"\x01", b"\x05", b"\x06"]
SIGNATURE = [b"\x01", b"\x05", b"\x06"]


def fields(kind: int, gas: bytes, accesses: Item, count: int) -> list[Item]:
    head: list[Item] = [b"", b"\x07"] if kind == 0 else [b"\x01", b"", b"\x07"]
    tips: list[Item] = [b"\x07"] if kind in (2, 4) else []
    body: list[Item] = [gas, HERE, b"\x02", b"data"]
    lists: list[Item] = [] if kind == 0 else [accesses]
    if kind == 4:
        lists.append([list(AUTHORIZATION) for _ in range(count)])
    return [*head, *tips, *body, *lists, *([b"\x1b", *SIGNATURE[1:]] if kind == 0 else SIGNATURE)]


@st.composite
def almost(draw: st.DrawFn) -> bytes:
    """A transaction, mostly with a node of its tree exchanged, taken out, doubled or wrapped."""
    kind = draw(st.sampled_from([0, 1, 2, 4]))
    tree: list[Item] = fields(kind, draw(GAS), draw(ACCESSES), draw(st.integers(0, 2)))
    for _ in range(draw(st.integers(0, 2))):
        node = tree
        while (at := draw(st.integers(0, len(node)))) < len(node):
            inner = node[at]
            if not isinstance(inner, list) or draw(st.booleans()):
                break
            node = inner
        if at == len(node):
            node.append(draw(ODD))
            continue
        change = draw(st.integers(0, 3))
        node[at : at + 1] = [[draw(ODD)], [], [node[at]] * 2, [[node[at]]]][change]
    raw = encode(tree)
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(raw) - 1))
        raw = raw[:place] + bytes((draw(st.integers(0, 255)),)) + raw[place + 1 :]
    return raw if kind == 0 else bytes((kind,)) + raw


def number(item: Item, width: int) -> int | None:
    if isinstance(item, list) or len(item) > width or item[:1] == b"\0":
        return None
    return int.from_bytes(item, "big")


def is_access(item: Item) -> bool:
    return (
        isinstance(item, list)
        and len(item) == 2
        and isinstance(item[0], bytes)
        and len(item[0]) == 20
        and isinstance(item[1], list)
        and all(isinstance(key, bytes) and len(key) == 32 for key in item[1])
    )


def is_authorization(item: Item) -> bool:
    if not isinstance(item, list) or len(item) != 6 or not isinstance(item[1], bytes) or len(item[1]) != 20:
        return False
    widths = {0: 32, 2: 8, 3: 1, 4: 32, 5: 32}
    return all(number(item[place], width) is not None for place, width in widths.items())


def lists_and_rest(raw: bytes) -> tuple[list[Item], list[Item]]:
    """Give the lists of a transaction and its other fields, by the plain way: the whole tree first."""
    kind = 0 if raw[0] >= 0xC0 else raw[0]
    tree = decode(raw if kind == 0 else raw[1:])
    if kind not in (0, 1, 2, 4) or not isinstance(tree, list) or len(tree) != (9, 11, 12, 0, 13)[kind]:
        raise DecodeError("another type, or other fields")
    count = (0, 1, 1, 0, 2)[kind]
    return tree[len(tree) - 3 - count : -3], [*tree[: len(tree) - 3 - count], *tree[-3:]]


def is_form(raw: bytes) -> bool:
    """Whether bytes have a transaction's form."""
    kind = 0 if raw[0] >= 0xC0 else raw[0]
    try:
        lists, rest = lists_and_rest(raw)
    except DecodeError:
        return False
    widths = [8, *([8] if kind else []), 32, *([32] if kind in (2, 4) else []), 8]
    to, value, data, *signature = rest[len(widths) :]
    v, r, s = (number(item, 32) for item in signature)
    return (
        all(number(item, width) is not None for item, width in zip(rest, widths, strict=False))
        and number(value, 32) is not None
        and isinstance(data, bytes)
        and isinstance(to, bytes)
        and len(to) in ((20,) if kind == 4 else (0, 20))
        and v is not None
        and (v in (27, 28) or v >= 35 if kind == 0 else v < 2)
        and r is not None
        and 0 < r < ORDER
        and s is not None
        and 0 < s <= HALF_ORDER
        and all(isinstance(one, list) for one in lists)
        and all(map(is_access, lists[0] if lists else ()))
        and (kind != 4 or (len(lists[1]) > 0 and all(map(is_authorization, lists[1]))))
    )


def is_paid(raw: bytes) -> bool:
    """Whether the gas of a sound form covers a transaction without data and its lists."""
    lists, rest = lists_and_rest(raw)
    gas = number(rest[-7], 8)  # before to, value, data and the signature
    accesses = lists[0] if lists else []
    cost = 21_000 + sum(2_400 + 1_900 * len(entry[1]) for entry in accesses)  # type: ignore[index]
    return gas is not None and cost + 25_000 * (len(lists[1]) if len(lists) > 1 else 0) <= gas


@settings(max_examples=400)
@given(almost())
def test_what_is_taken_is_what_the_form_and_the_gas_allow(raw: bytes) -> None:
    sound = is_form(raw) and (raw[0] >= 0xC0 or is_paid(raw))
    try:
        tx = decode_transaction(raw)
    except DecodeError:
        assert not sound
    else:
        assert sound
        assert tx.raw == raw


def typed(kind: int, accesses: bytes, authorizations: bytes = b"", gas: int = 2**63) -> bytes:
    """Write a transaction around lists that are encoded already."""
    tips = encode(b"\x07") * (1 if kind == 1 else 2)
    head = encode(b"\x01") + encode(b"") + tips + encode(uint(gas)) + encode(HERE) + encode(b"") * 2
    tail = b"".join(map(encode, SIGNATURE))
    return bytes((kind,)) + wrap_list(head + accesses + authorizations + tail)


def many(item: bytes, size: int = 1_000_000) -> bytes:
    return wrap_list(item * (size // len(item)))


HIGH_S = uint(HALF_ORDER + 1)
ENTRY, ALL = encode([HERE, []]), 2**63


@pytest.mark.parametrize(
    ("raw", "most_gas", "looks"),
    [
        (typed(2, many(b"\xc0")), ALL, 1),
        (typed(2, many(encode([b""]))), ALL, 1),
        (typed(2, wrap_list(encode(HERE) + many(b"\xc0"))), ALL, 1),
        (typed(1, encode([[HERE, [[]] * 100_000]])), ALL, 2),
        (typed(4, b"\xc0", many(encode([[]] * 6))), ALL, 1),
        (typed(4, b"\xc0", many(encode([[[]] * 100_000, HERE, b"", b"", b"", b""]))), ALL, 1),
        (typed(2, many(ENTRY), gas=100_000), ALL, 2 * 33),
        (typed(2, many(ENTRY)), 210_000, 2 * 79),
        (typed(4, b"\xc0", many(encode(AUTHORIZATION)), gas=100_000), ALL, 4),
        (b"\x02" + many(b"\xc0"), ALL, 0),
        (b"\xf8\x80" + b"\xc0" * 0x80, ALL, 0),
        (typed(2, b"\xc0").replace(HERE, HERE[1:] + b"\xc0")[:-1] + b"\xc0", ALL, 0),
    ],
)
def test_lists_are_looked_at_until_one_is_wrong_or_too_dear(
    monkeypatch: pytest.MonkeyPatch, raw: bytes, most_gas: int, looks: int
) -> None:
    """Counted are heads of lists that are read inside lists: each costs about a microsecond."""
    seen = 0
    read = read_head

    def counted(data: bytes, at: int, limit: int) -> tuple[bool, int, int]:
        nonlocal seen
        seen += 1
        return read(data, at, limit)

    monkeypatch.setattr(transactions, "read_head", counted)
    with pytest.raises(DecodeError):
        decode_transaction(raw, most_gas)
    assert seen <= looks


@pytest.mark.parametrize(
    "tree",
    [
        [b"\x01", b"", b"\x07", b"\x07", uint(21_000), HERE, b"", b"", [], b"\x02", b"\x05", b"\x06"],
        [b"\x01", b"", b"\x07", b"\x07", uint(21_000), HERE, b"", b"", [], b"", b"", b"\x06"],
        [b"\x01", b"", b"\x07", b"\x07", uint(21_000), HERE, b"", b"", [], b"", b"\x05", HIGH_S],
        [b"\x01", b"", b"\x07", b"\x07", uint(21_000), HERE, b"", b"", [[HERE, []]], b"", b"\x05", b"\x06"],
    ],
)  # fmt: skip
def test_a_block_with_bytes_that_are_no_transaction_is_the_senders_fault(tree: list[Item]) -> None:
    """Whoever takes blocks from peers looks for DecodeError: an unsound signature must be one too."""
    header = Header(*(bytes(32),) * 2, HERE, *(bytes(32),) * 3, bytes(256), *(0,) * 5, b"", bytes(32),
                    bytes(8), 0, bytes(32), 0, 0, bytes(32), bytes(32))  # fmt: skip
    raw = codec.encode_block(SealedHeader(header, b""), [b"\x02" + encode(tree)], (), Payload())
    with pytest.raises(DecodeError):
        codec.decode_block(raw, decode_transaction)

"""One message of each type; `<name>.hex` here and docs/protocol.md section 9.5 hold its payload."""

from pathlib import Path

from ioex_chain.p2p.chain_messages import (
    Announce,
    AnnounceTransactions,
    BlockData,
    BlockTransactions,
    CompactBlock,
    FeeFilter,
    GetBlocks,
    GetBlockTransactions,
    GetCompact,
    GetHeaders,
    GetTransactions,
    Headers,
    NotFound,
    Prefilled,
    SendCompact,
    Transactions,
)
from ioex_chain.p2p.finality_messages import Certificate, EvidenceItem, Votes
from ioex_chain.p2p.messages import (
    RELAYS_TRANSACTIONS,
    SERVES_BLOCKS,
    Addresses,
    AddressRecord,
    GetAddresses,
    Goodbye,
    Hello,
    LeaveReason,
    Message,
    Ping,
    Pong,
)
from ioex_chain.p2p.types import Endpoint, PeerId

FOLDER = Path(__file__).parent
HEADER = bytes.fromhex("00000020" + "11" * 32 + "22" * 32 + "00105e65" + "ffff7f20" + "2a000000")
ONE, TWO = b"\x33" * 32, b"\x44" * 32

EXAMPLES: tuple[Message, ...] = (
    Hello(
        version=1,
        network=b"\x55" * 32,
        fork_checksum=bytes.fromhex("fc64ec04"),
        fork_next=1_150_000,
        key=b"\x66" * 32,
        nonce=b"\x77" * 32,
        signature=bytes(64),
        services=SERVES_BLOCKS | RELAYS_TRANSACTIONS,
        port=20_338,
        height=259_200,
        head=ONE,
        time=1_700_663_296,
        agent="ioex/0.1.0",
    ),
    Ping(0x1122334455667788),
    Pong(0x1122334455667788),
    Goodbye(LeaveReason.TOO_MANY_PEERS, "all slots are taken"),
    GetAddresses(),
    Addresses(
        (
            AddressRecord(PeerId(ONE), Endpoint("203.0.113.7", 20_338), 1_700_663_296),
            AddressRecord(PeerId(TWO), Endpoint("2001:db8::7", 20_339), 1_700_663_297),
        )
    ),
    GetHeaders((ONE, TWO)),
    Headers((HEADER,), more=True),
    GetBlocks((ONE, TWO)),
    BlockData(HEADER + b"\x01" + b"\xaa" * 20),
    NotFound(GetBlocks.type, ONE),
    Announce((HEADER,)),
    CompactBlock(HEADER, 0x0102030405060708, (b"\x01" * 6, b"\x02" * 6), (Prefilled(0, b"\xaa" * 20),)),
    GetCompact(ONE),
    GetBlockTransactions(ONE, (1, 300)),
    BlockTransactions(ONE, (b"\xaa" * 20, b"\xbb" * 21)),
    SendCompact(push=True),
    AnnounceTransactions((ONE, TWO)),
    GetTransactions((ONE,), (TWO,)),
    Transactions((b"\xaa" * 20, b"\xbb" * 21)),
    FeeFilter(1_000),
    Votes((b"\xcc" * 20, b"\xdd" * 21)),
    Certificate(b"\xcc" * 20),
    EvidenceItem(b"\xdd" * 21),
)


def golden(message: Message) -> bytes:
    """Give the bytes that stand in the message's file."""
    return bytes.fromhex((FOLDER / f"{type(message).__name__}.hex").read_text())

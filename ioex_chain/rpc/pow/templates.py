"""Block templates as BIP 22, 23 and 145 write them, with `coinbasetxn`; proposals."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.ledger.errors import InvalidBlock, MutatedBlock, NotOnHead
from ioex_chain.pow.block import Block
from ioex_chain.pow.coinbase import COMMITMENT_HEAD, find_commitment
from ioex_chain.pow.consensus import median_time_past
from ioex_chain.pow.difficulty import next_bits
from ioex_chain.pow.errors import BlockTransactionError
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.pow.machine import check_body
from ioex_chain.pow.template import NATIVE_VERSION, Template
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import display
from ioex_chain.rpc.pow.format import target_hex, weight_of
from ioex_chain.rpc.pow.params import AddressText
from ioex_chain.rpc.pow.submit import known_as
from ioex_chain.rpc.pow_errors import reason_of
from ioex_chain.spec.model import NetworkSpec

MUTABLE = ["time", "coinbase/append", "version/force"]
"""What a miner may change. Not the transactions: the coinbase, which is given, commits to them."""
CAPABILITIES = ["proposal", "coinbasetxn", "longpoll", "workid"]


class TemplateRequest(TypedDict):
    """BIP 22's template request. `address` is our own: whom the coinbase pays."""

    mode: NotRequired[Annotated[str, Field(max_length=32)]]
    capabilities: NotRequired[Annotated[list[str], Field(max_length=64)]]
    rules: NotRequired[Annotated[list[str], Field(max_length=64)]]
    longpollid: NotRequired[Annotated[str, Field(max_length=200)]]
    data: NotRequired[str]
    workid: NotRequired[str]
    address: NotRequired[AddressText]


class TemplateTransactionJson(TypedDict):
    """A transaction to be put in, in this order; `depends` counts from 1."""

    data: str
    txid: str
    hash: str
    depends: list[int]
    fee: int
    sigops: int
    weight: int


class TemplateJson(TypedDict):
    """What to mine. There is no `coinbasevalue`: a coinbase of one output is invalid on this chain."""

    capabilities: list[str]
    version: int
    rules: list[str]
    vbavailable: dict[str, int]
    vbrequired: int
    previousblockhash: str
    transactions: list[TemplateTransactionJson]
    coinbaseaux: dict[str, str]
    coinbasetxn: TemplateTransactionJson
    longpollid: str
    target: str
    mintime: int
    maxtime: int
    mutable: list[str]
    noncerange: str
    sigoplimit: int
    sizelimit: int
    curtime: int
    bits: str
    height: int
    workid: str
    default_witness_commitment: str


def longpoll_id(head: bytes, mempool_version: int) -> str:
    """Name a head and a state of the mempool."""
    return f"{display(head)}{mempool_version}"


def read_longpoll_id(text: str) -> tuple[bytes, int] | None:
    """Give (head, mempool version); None when we did not write it."""
    digits = text[64:]
    if len(text) < 65 or len(digits) > 20 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return bytes.fromhex(text[:64])[::-1], int(digits)
    except ValueError:
        return None


def _transaction(tx: Transaction, fee: int, checks: int, depends: tuple[int, ...]) -> TemplateTransactionJson:
    return {
        "data": tx.raw.hex(),
        "txid": display(tx.txid),
        "hash": display(tx.wtxid),
        "depends": list(depends),
        "fee": fee,
        "sigops": checks,
        "weight": weight_of(tx),
    }


def _coinbase(coinbase: Transaction, fees: int) -> TemplateTransactionJson:
    """Show the coinbase without its witness: miners change and hash this form."""
    return {**_transaction(coinbase, -fees, 0, ()), "data": coinbase.encode_stripped().hex()}


def template_json(template: Template, payout_script: bytes, now: int, extra_nonce: int) -> TemplateJson:
    """Write a template for a payout; `extra_nonce` (8 bytes) keeps two miners from doing the same work."""
    spec = template.spec.pow
    coinbase = template.job(payout_script).coinbase(extra_nonce)
    return {
        "capabilities": CAPABILITIES,
        "version": NATIVE_VERSION,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": display(template.parent_hash),
        "transactions": [
            _transaction(entry.tx, entry.fee, entry.checks, entry.depends) for entry in template.entries
        ],
        "coinbaseaux": {},
        "coinbasetxn": _coinbase(coinbase, template.fees),
        "longpollid": longpoll_id(template.parent_hash, template.pool_version),
        "target": target_hex(template.bits),
        "mintime": template.min_time,
        "maxtime": now + spec.max_future,
        "mutable": MUTABLE,
        "noncerange": "00000000ffffffff",
        "sigoplimit": spec.max_block_signatures,
        "sizelimit": spec.max_block_size,
        "curtime": max(template.min_time, now),
        "bits": f"{template.bits:08x}",
        "height": template.height,
        "workid": coinbase.txid[:8].hex(),
        "default_witness_commitment": (COMMITMENT_HEAD + (find_commitment(coinbase) or b"")).hex(),
    }


def judge_proposal(spec: NetworkSpec, ledger: PowLedger, block: Block, now: int) -> str | None:
    """Check a proposed block with everything but its work; give None or BIP-23's word.

    For the chain's worker thread.
    """
    known = known_as(ledger.entry(block.hash))
    if known is not None:
        return known
    head = ledger.head
    if block.header.parent_hash != head.hash:
        return "inconclusive-not-best-prevblk"
    header = block.header
    if header.bits != next_bits(spec.pow, head.height, head.header.time):
        return "bad-diffbits"
    if header.time <= median_time_past(head):
        return "time-too-old"
    if header.time > now + spec.pow.max_future:
        return "time-too-new"
    try:
        check_body(spec, block)
        ledger.preview(block)
    except BlockTransactionError as error:
        return error.rule
    except (InvalidBlock, MutatedBlock, NotOnHead) as error:
        return reason_of(error)
    return None

"""The ledger with the PoW chain's types filled in."""

from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.types import HeadChanged
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.machine import PowReceipt

PowLedger = Ledger[Header, Block, PowReceipt]
PowHeadChanged = HeadChanged[Header, PowReceipt]

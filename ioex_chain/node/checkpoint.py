"""The block that an operator trusts (`dpos_checkpoint`): weak subjectivity for a node that is new.

Keys that had seats long ago could sign another history at no cost. A node that was away for long, or is new,
takes one block's height and hash from somebody it trusts, and follows no chain without that block.
"""

import re

from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.ledger.errors import StoreError
from ioex_chain.node.config import ConfigError
from ioex_chain.primitives.types import BlockHash

_FORM = re.compile(r"([0-9]{1,9}):0x([0-9a-fA-F]{64})", re.ASCII)


class InvalidCheckpoint(ConfigError):
    """The setting `dpos_checkpoint` is not height:0xhash."""


class CheckpointContradicted(StoreError):
    """The chain that is stored has another block at the checkpoint's height."""


def parse_checkpoint(text: str | None) -> Checkpoint | None:
    """Read `height:0xhash`; None without the setting. Raises InvalidCheckpoint."""
    if text is None:
        return None
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InvalidCheckpoint(
            f"setting dpos_checkpoint: {text!r} is not height:0xhash (0x and 64 hex digits)"
        )
    return Checkpoint(BlockHash(bytes.fromhex(found[2])), int(found[1]))


def refuse_contradiction(checkpoint: Checkpoint | None, stored: BlockHash | None) -> None:
    """Compare the best chain's block at the checkpoint's height. Raises CheckpointContradicted."""
    if checkpoint is not None and stored is not None and stored != checkpoint.hash:
        raise CheckpointContradicted(
            f"block {checkpoint.height} of the stored chain is 0x{stored.hex()}, but dpos_checkpoint says "
            f"0x{checkpoint.hash.hex()}; if the setting is right, this node followed a chain that you do "
            "not trust: choose another --datadir and let it synchronise anew"
        )

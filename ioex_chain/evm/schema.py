"""The rows of the EVM state in the ledger's store: every key, its value, and who writes it.

Accounts and slots are found directly (flat); execution never reads a trie. The tries keep their branches
only, each under the path that leads to it, so that a block overwrites what it changes and the ledger's
before-images undo it; a leaf is made from the flat row under the same hashed key, and is stored once.

=============================  ==============================================================================
key                            value
=============================  ==============================================================================
``a`` keccak(address)          rlp(nonce) rlp(balance), then storage root and code hash unless both are empty
``c`` code hash                contract code; never deleted (another account may have the same)
``s`` keccak(address) keccak(slot)   the slot's value as its leaf has it: rlp(value), never zero
``t`` path                     a branch of the account trie (`trie.py`)
``u`` keccak(address) path     a branch of an account's storage trie
=============================  ==============================================================================

A path is ASCII hexadecimal, one digit a nibble. A slot is hashed as 32 bytes, big-endian.
"""

from ioex_chain.crypto.hashes import keccak256

ACCOUNT = b"a"
CODE = b"c"
SLOT = b"s"
ACCOUNT_NODE = b"t"
SLOT_NODE = b"u"
PREFIXES = ACCOUNT + CODE + SLOT + ACCOUNT_NODE + SLOT_NODE


def account_key(address: bytes) -> bytes:
    """Give the key of an account's row."""
    return ACCOUNT + keccak256(address)


def code_key(code_hash: bytes) -> bytes:
    """Give the key of a code's row."""
    return CODE + code_hash


def slot_key(address: bytes, slot: int) -> bytes:
    """Give the key of a storage slot's row."""
    return SLOT + keccak256(address) + keccak256(slot.to_bytes(32, "big"))

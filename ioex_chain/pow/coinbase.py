"""The coinbase: 24 = 4 + 20, BIP-34 height, witness commitment (docs/protocol.md sections 1 and 3)."""

from collections.abc import Sequence

from ioex_chain.crypto.address import deposit_script
from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow import errors
from ioex_chain.pow.script import classify
from ioex_chain.pow.transaction import NULL_OUTPOINT, SEQUENCE_FINAL, Transaction, TxIn, TxOut
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.spec.model import NetworkSpec

COMMITMENT_HEAD = b"\x6a\x24\xaa\x21\xa9\xed"
WITNESS_RESERVED = bytes(32)


def height_push(height: int) -> bytes:
    """Give what a coinbase script begins with (BIP-34): OP_n for 0 to 16, else a minimal number push."""
    if height == 0:
        return b"\x00"
    if height <= 16:
        return bytes((0x50 + height,))
    number = height.to_bytes((height.bit_length() + 8) // 8, "little")
    return bytes((len(number),)) + number


def witness_commitment(transactions: Sequence[Transaction], reserved: bytes = WITNESS_RESERVED) -> bytes:
    """Give the commitment (32 bytes) over a block's transactions; the coinbase counts as zeros (BIP-141)."""
    leaves = [bytes(32), *(transaction.wtxid for transaction in transactions[1:])]
    return sha256d(merkle_root(leaves)[0] + reserved)


def commitment_of(transactions: Sequence[Transaction]) -> bytes:
    """Give the witness commitment of a block that carries `transactions` behind a coinbase yet to be made."""
    return witness_commitment([_placeholder(), *transactions])


def find_commitment(coinbase: Transaction) -> bytes | None:
    """Give the commitment that a coinbase carries: the last output that matches."""
    for output in reversed(coinbase.outputs):
        if len(output.script) >= 38 and output.script[:6] == COMMITMENT_HEAD:
            return output.script[6:38]
    return None


def build_coinbase(
    spec: NetworkSpec,
    height: int,
    payout_script: bytes,
    fees: int,
    transactions: Sequence[Transaction],
    extra: bytes = b"",
    commitment: bytes | None = None,
) -> Transaction:
    """Make the coinbase of a block that carries `transactions` (without a coinbase).

    `extra` follows the height in its script (an extra nonce, a miner's tag): at most 90 bytes. `commitment`
    is `commitment_of(transactions)` where the caller has it already.
    """
    script = height_push(height) + extra
    script += b"\x00" * (2 - len(script))
    commitment = commitment or commitment_of(transactions)
    outputs = [
        TxOut(spec.pow.arbitrator_reward, deposit_script(spec.contracts.reward_pool)),
        TxOut(spec.pow.miner_reward + fees, payout_script),
        TxOut(0, COMMITMENT_HEAD + commitment),
    ]
    inputs = [TxIn(NULL_OUTPOINT, script, SEQUENCE_FINAL, (WITNESS_RESERVED,))]
    return Transaction.build(2, inputs, outputs)


def _placeholder() -> Transaction:
    return Transaction.build(2, [TxIn(NULL_OUTPOINT, b"\x00\x00", SEQUENCE_FINAL)], [])


def check_coinbase(spec: NetworkSpec, coinbase: Transaction, height: int) -> None:
    """Check what does not depend on fees. Raises a PowBlockError."""
    if not coinbase.inputs[0].script.startswith(height_push(height)):
        raise errors.WrongCoinbaseHeight(f"the coinbase does not begin with height {height}")
    pool = deposit_script(spec.contracts.reward_pool)
    if coinbase.outputs[0] != TxOut(spec.pow.arbitrator_reward, pool):
        raise errors.WrongArbitratorReward("output 0 is not exactly 20 IOEX to the RewardPool")
    for index, output in enumerate(coinbase.outputs[1:], 1):
        form = classify(output.script)
        if form is not None and form.is_reserve:
            raise errors.CoinbaseReserveOutput(f"coinbase output {index} pays the bridge reserve")


def check_coinbase_amount(spec: NetworkSpec, coinbase: Transaction, fees: int) -> None:
    """Check that the coinbase pays at most 24 IOEX and the fees. Raises CoinbaseTooMuch."""
    paid = sum(output.value for output in coinbase.outputs)
    allowed = spec.pow.miner_reward + spec.pow.arbitrator_reward + fees
    if paid > allowed:
        raise errors.CoinbaseTooMuch(f"the coinbase pays {paid}, {allowed} is allowed")

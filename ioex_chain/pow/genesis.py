"""The PoW genesis block, made from the network's spec alone (docs/protocol.md sections 1 and 3).

Its coinbase pays the token plan instead of a miner, so the coinbase's amount, its first output and the
witness commitment are not asked of it; its outputs are in the UTXO set like any other. Its work is not
checked either: a node knows it by its hash.
"""

from hashlib import sha256

from ioex_chain.crypto.address import checksum_account, deposit_script, witness_script
from ioex_chain.evm.genesis import genesis_hash
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.pow.block import Block
from ioex_chain.pow.errors import ScriptError
from ioex_chain.pow.header import Header
from ioex_chain.pow.script import Form, classify, parse_spend_script
from ioex_chain.pow.transaction import NULL_OUTPOINT, SEQUENCE_FINAL, Transaction, TxIn, TxOut
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.identity import network_id
from ioex_chain.spec.model import Allocation, NetworkSpec

NO_PARENT = BlockHash(bytes(32))


def genesis_coinbase(spec: NetworkSpec) -> Transaction:
    """Make the transaction that pays the token plan: one output per allocation, in their order.

    Its script is height 0 as BIP-34 pushes it (OP_0), then a push of the network's text.
    """
    text = spec.pow.genesis_text.encode("ascii")
    script = b"\x00" + bytes((len(text),)) + text
    outputs = [TxOut(allocation.amount, allocation.script) for allocation in spec.token.allocations]
    return Transaction.build(2, [TxIn(NULL_OUTPOINT, script, SEQUENCE_FINAL)], outputs)


def genesis_block(spec: NetworkSpec) -> Block:
    """Make block 0. The same spec gives the same bytes on every machine."""
    coinbase = genesis_coinbase(spec)
    header = Header.build(
        spec.pow.genesis_version,
        NO_PARENT,
        merkle_root([coinbase.txid])[0],
        spec.pow.genesis_time,
        spec.pow.genesis_bits,
        spec.pow.genesis_nonce,
    )
    return Block.build(header, [coinbase])


def identity_of(spec: NetworkSpec) -> bytes:
    """Give the network's identity: over both genesis hashes (spec/identity)."""
    pow_genesis = genesis_block(spec).hash
    return network_id(pow_genesis, genesis_hash(spec, pow_genesis))


class WrongGenesis(IoexError):
    """A genesis block whose outputs are not what the token plan promises."""


def check_genesis(spec: NetworkSpec, block: Block) -> None:
    """Check a genesis block's bytes against the plan, output by output, and the DPoS chain's balances.

    Raises WrongGenesis, DecodeError.

    The locks are read back from the scripts with the code that consensus spends by, not with the code that
    wrote them: amount, form, hash of the witness script, unlock time.
    """
    coinbase = Block.decode(block.encode()).transactions[0]
    if block.header.merkle_root != coinbase.txid:
        raise WrongGenesis("the header's Merkle root is not the coinbase's id")
    if len(coinbase.outputs) != len(spec.token.allocations):
        raise WrongGenesis(f"{len(coinbase.outputs)} outputs for {len(spec.token.allocations)} allocations")
    for index, (output, allocation) in enumerate(zip(coinbase.outputs, spec.token.allocations, strict=True)):
        try:
            _check_output(spec, output, allocation)
        except (WrongGenesis, ScriptError) as error:
            raise WrongGenesis(f"output {index} (line {allocation.plan}): {error}") from error
    _check_backing(spec, coinbase)


def _check_backing(spec: NetworkSpec, coinbase: Transaction) -> None:
    """Each DPoS genesis balance stands in outputs to its deposit address (docs/protocol.md section 6)."""
    for account in spec.dpos.accounts:
        script = deposit_script(account.address)
        paid = sum(output.value for output in coinbase.outputs if output.script == script)
        if paid * WEI_PER_POW_UNIT != account.wei:
            raise WrongGenesis(
                f"{checksum_account(account.address)} has {account.wei} wei on the DPoS chain, "
                f"its deposits are {paid} units of 1e-8 IOEX"
            )


def _check_output(spec: NetworkSpec, output: TxOut, allocation: Allocation) -> None:
    if output.value != allocation.amount:
        raise WrongGenesis(f"pays {output.value} instead of {allocation.amount}")
    form = classify(output.script)
    if form is None or form is Form.DATA or form is Form.RESERVE:
        raise WrongGenesis("is no form that genesis may pay")
    if form is Form.DEPOSIT and output.script not in _deposits(spec):
        raise WrongGenesis("pays a deposit program other than NodeRewards' and those of DPoS accounts")
    lock_time = None
    if allocation.witness_script:
        if output.script != witness_script(0, sha256(allocation.witness_script).digest()):
            raise WrongGenesis("the witness script does not hash to the program")
        lock_time = parse_spend_script(allocation.witness_script).lock_time
    if (lock_time or 0) != allocation.unlock_time:
        raise WrongGenesis(f"is locked until {lock_time} instead of {allocation.unlock_time}")


def _deposits(spec: NetworkSpec) -> set[bytes]:
    addresses = [spec.contracts.node_rewards, *(account.address for account in spec.dpos.accounts)]
    return {deposit_script(address) for address in addresses}

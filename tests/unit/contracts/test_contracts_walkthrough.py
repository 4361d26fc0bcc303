"""docs/arbitrator.md on a chain: admission, key, node, votes, first sealed block, pay, rotation, jail.

Blocks are real (execution, seals, certificates, sets); transactions are signed as wallets sign them.
"""

import pytest
from chaingen.dpos_forge import ADDRESSES, KEYS, POW_GENESIS, DictView, Forge, make_spec, private_key
from contract_world import events, functions
from eth_abi import decode, encode
from eth_account import Account

from ioex_chain.crypto.secp256k1 import sign_recoverable
from ioex_chain.dpos import evidence as evidences
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.dpos.genesis import genesis_block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.registry import RegistryReader
from ioex_chain.evm import vm
from ioex_chain.evm.contribution import NodeKind, parameters_of
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import WEI, BlockEnv, Transaction
from ioex_chain.evm.vm_calls import call as run_message
from ioex_chain.evm.vm_frame import Message
from ioex_chain.evm.vm_world import World as Machine
from ioex_chain.wallet.hd import MasterKey

SEATS, TERM = 4, 12
NEW, NEXT, FRESH = 10, 11, 12
"""Signing keys of the forge that join, follow, and come after jail."""
OWNERS, OPERATOR, VOTER = (0, 1, 2), 5, 6
MASTER = MasterKey.from_mnemonic("test test test test test test test test test test test junk")
PAYOUT = bytes.fromhex("77" * 20)


class Chain:
    """A forge over the real EVM, and a wallet for the devnet's accounts."""

    def __init__(self) -> None:
        self.spec = make_spec(4, jail_period=120)
        self.forge = Forge(
            self.spec, EvmWorld, genesis=genesis_block(self.spec, POW_GENESIS), decode=decode_transaction
        )
        self.head: Block = self.forge.genesis
        self.nonces: dict[int, int] = {}
        self.addresses = self.spec.contracts.addresses | {"OwnerMultisig": self.spec.dpos.owner}

    @property
    def slot(self) -> int:
        return self.forge.slot(self.head)

    @property
    def state(self) -> FlatState:
        return FlatState(DictView(self.forge.rows[self.head.header.hash]))

    @property
    def registry(self) -> RegistryReader:
        return RegistryReader(self.spec, self.state)

    def tx(self, account: int, contract: str, function: str, *args: object, value: int = 0) -> Transaction:
        selector, inputs, _ = functions(contract)[function]
        nonce = self.nonces.get(account, 0)
        self.nonces[account] = nonce + 1
        signed = Account.sign_transaction(
            {
                "type": 2,
                "chainId": self.spec.dpos.chain_id,
                "nonce": nonce,
                "maxFeePerGas": 10 * 10**9,
                "maxPriorityFeePerGas": 0,
                "gas": 1_000_000,
                "to": self.addresses[contract],
                "value": value,
                "data": selector + encode(inputs, args),
            },
            MASTER.dpos_key(account),
        )
        return decode_transaction(bytes(signed.raw_transaction))

    def send(self, *txs: Transaction) -> list[str]:
        """Put transactions into the next block; all must succeed. Give the events' names."""
        parent = self.head
        certificate = self.forge.certificate(parent) if parent is not self.forge.genesis else None
        self.head = self.forge.extend(parent, transactions=txs, certificate=certificate)
        assert len(self.head.transactions) == len(txs)
        receipts = self.receipts(parent)
        assert [receipt.status for receipt in receipts] == [1] * len(txs)
        known = {
            name: item["name"]
            for contract in ("ArbitratorRegistry", "RewardPool", "OwnerMultisig", "NodeRegistry")
            for name, item in events(contract).items()
        }
        return [known[log.topics[0]] for receipt in receipts for log in receipt.logs]

    def receipts(self, parent: Block):
        view = DictView(dict(self.forge.rows[parent.header.hash]))
        return self.forge.machine.connect(self.head, self.forge.entry(self.head), view).receipts

    def ask(self, contract: str, function: str, *args: object):
        selector, inputs, outputs = functions(contract)[function]
        state, to = self.state, self.addresses[contract]
        env = BlockEnv(self.spec.dpos.chain_id, 1, 2**40, bytes(20), 10**8, 0, bytes(32), lambda _: None)
        data = selector + encode(inputs, args)
        message = Message(
            "CALL", sender=PAYOUT, target=to, to=to, value=0, data=data, code=state.get_code(to), gas=10**7
        )
        frame = run_message(Machine(state, env, vm.PRAGUE, origin=PAYOUT, gas_price=0), message)
        assert frame.error is None
        values = decode(outputs, frame.output)
        return values[0] if len(values) == 1 else values

    def decide(self, contract: str, function: str, *args: object) -> list[str]:
        """The owner's word: one owner submits, another confirms and executes."""
        number = self.ask("OwnerMultisig", "proposalCount") + 1
        selector, inputs, _ = functions(contract)[function]
        payload = selector + encode(inputs, args)
        return self.send(
            self.tx(OWNERS[0], "OwnerMultisig", "submit", self.addresses[contract], 0, payload),
            self.tx(OWNERS[1], "OwnerMultisig", "confirm", number),
            self.tx(OWNERS[2], "OwnerMultisig", "execute", number),
        )

    def consent(self, key: int) -> tuple[int, int, int]:
        digest = self.ask("ArbitratorRegistry", "keyDigest", address_of(OPERATOR))
        signature = sign_recoverable(private_key(key), digest)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return signature[64] + 27, r, s

    def until(self, found, limit: int = 3 * TERM) -> None:
        """Grow with finality until something holds."""
        for _ in range(limit):
            if found():
                return
            self.send()
        pytest.fail("it never came")

    def seated(self, key: int) -> bool:
        members = self.forge.members_at(self.head).members
        return ADDRESSES[key] in [member.key for member in members]

    def sealed_by(self, key: int) -> bool:
        return self.head is not self.forge.genesis and (
            self.forge.producer_key(self.forge.parent(self.head), self.slot) == KEYS[ADDRESSES[key]]
        )


def address_of(account: int) -> bytes:
    return bytes.fromhex(Account.from_key(MASTER.dpos_key(account)).address[2:])


def joined() -> Chain:
    chain = Chain()
    assert chain.decide("ArbitratorRegistry", "admit", address_of(OPERATOR), b"five".ljust(32, b"\0")) == [
        *("Submitted", "Confirmed", "Confirmed", "Executed", "Admitted")
    ]
    register = chain.tx(
        OPERATOR, "ArbitratorRegistry", "register", ADDRESSES[NEW], PAYOUT, *chain.consent(NEW)
    )
    vote = chain.tx(VOTER, "ArbitratorRegistry", "vote", 5, value=1_000 * WEI)
    assert chain.send(register, vote) == ["KeySet", "PayoutSet", "Voted"]
    assert not chain.registry.partner(5).has_node
    bond = parameters_of(chain.spec).registry[0]
    node = (NodeKind.BOOTSTRAP, bytes(31) + b"\5", b"Berlin".ljust(32, b"\0"), address_of(OPERATOR), 0, 0, 0)
    assert chain.send(chain.tx(OPERATOR, "NodeRegistry", "register", *node, value=bond)) == ["Registered"]
    assert "NodeSet" in chain.decide("NodeRegistry", "admit", SEATS + 1)
    return chain


def test_from_joining_to_the_first_sealed_block_and_its_pay() -> None:
    chain = joined()
    assert not chain.seated(NEW)
    chain.until(lambda: chain.seated(NEW))
    # Read at the end of term 0; in force in the round after the one in which the end of term 1 became final.
    assert chain.slot == 2 * TERM + SEATS
    ranked = [member.key for member in chain.forge.members_at(chain.head).members]
    assert ranked == [ADDRESSES[NEW], *ADDRESSES[:3]]  # votes first, then admission
    chain.until(lambda: chain.sealed_by(NEW), limit=SEATS)
    assert chain.head.header.header.beneficiary == PAYOUT
    assert chain.ask("ArbitratorRegistry", "counters", 5) == (1, 0, 0)
    term = chain.slot // TERM
    reward = chain.spec.dpos.block_reward // 3  # slots of 10 s, nominal 30
    assert chain.ask("RewardPool", "rewards", ADDRESSES[NEW], term) == (reward, 0)
    chain.until(lambda: chain.slot // TERM > term)
    assert chain.ask("RewardPool", "rewards", ADDRESSES[NEW], term) == (2 * reward, 0)  # two of three rounds
    assert chain.ask("RewardPool", "claimable", ADDRESSES[NEW], term) == 0  # older debt comes first
    members = chain.spec.dpos.members
    due = [chain.ask("RewardPool", "claimable", member.key, 0) for member in members]
    assert 0 < sum(due) <= chain.ask("RewardPool", "incomeTotal")  # base fees are all that came in
    assert chain.ask("RewardPool", "debt") > 0
    assert chain.send(chain.tx(VOTER, "RewardPool", "claim", members[0].key, [0])) == ["Claimed"]
    assert chain.state.get_balance(members[0].payout) == due[0]


def test_rotation_serves_the_old_key_until_the_new_set() -> None:
    chain = joined()
    chain.until(lambda: chain.seated(NEW))
    assert chain.send(
        chain.tx(OPERATOR, "ArbitratorRegistry", "setKey", ADDRESSES[NEXT], *chain.consent(NEXT))
    ) == ["KeySet"]
    chain.until(lambda: chain.sealed_by(NEW), limit=SEATS)
    before = chain.registry.partner(5).produced
    chain.until(lambda: chain.seated(NEXT))
    assert not chain.seated(NEW)
    chain.until(lambda: chain.sealed_by(NEXT), limit=SEATS)
    assert chain.registry.partner(5).produced > before


def double_seal(chain: Chain):
    """What a key makes that seals two headers for one slot."""
    made = [
        chain.forge.assemble(chain.head, extra_data=words, certificate=chain.forge.certificate(chain.head))
        for words in (b"", b"other")
    ]
    key = KEYS[made[0].producer.key]
    one, other = (SealedHeader(item.header, chain.forge.seal(item.header, key)) for item in made)
    return made[0].producer.key, evidences.of_seals(one, other)


def test_into_jail_and_out_again() -> None:
    chain = joined()
    chain.until(lambda: chain.seated(NEW))
    chain.until(lambda: chain.sealed_by(NEW), limit=SEATS)
    chain.until(
        lambda: chain.forge.producer_key(chain.head, chain.slot + 1) == KEYS[ADDRESSES[NEW]], limit=2 * SEATS
    )
    key, proof = double_seal(chain)
    assert key == ADDRESSES[NEW]
    chain.head = chain.forge.extend(
        chain.head, chain.slot + 2, evidence=(proof,), certificate=chain.forge.certificate(chain.head)
    )
    partner = chain.registry.partner(5)
    assert (partner.jailed, partner.key, partner.missed) == (True, bytes(20), 1)
    term = chain.slot // TERM
    assert chain.ask("RewardPool", "rewards", key, term) == (0, 0)
    assert chain.ask("RewardPool", "forfeitedTotal") > 0
    again = chain.forge.make(chain.head, evidence=(proof,))
    assert again.payload.evidence == ()  # counted once: a builder leaves it out

    assert chain.seated(NEW)  # until the next set
    chain.until(lambda: chain.sealed_by(NEW))
    assert chain.ask("RewardPool", "rewards", key, chain.slot // TERM) == (0, 0)  # it works for nothing
    chain.until(lambda: not chain.seated(NEW))

    chain.until(lambda: chain.forge.schedule.slot_start(chain.slot) >= partner.release_time)
    assert chain.decide("ArbitratorRegistry", "release", 5)[-1] == "Released"
    chain.send(chain.tx(OPERATOR, "ArbitratorRegistry", "setKey", ADDRESSES[FRESH], *chain.consent(FRESH)))
    chain.until(lambda: chain.seated(FRESH))
    chain.until(lambda: chain.sealed_by(FRESH), limit=SEATS)
    reward = chain.spec.dpos.block_reward // 3
    assert chain.ask("RewardPool", "rewards", ADDRESSES[FRESH], chain.slot // TERM)[0] == reward

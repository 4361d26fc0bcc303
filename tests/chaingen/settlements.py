"""Settlements for tests: headers and certificates of a DPoS chain that nobody executes, and a PoW chain.

    world = SettlementWorld()
    world.dpos.drain(world.dpos.withdraw(COIN, key("bob").script))   # block 1 of the DPoS chain
    tx = world.settlement()                                          # proves the newest block but one final
    world.mine(tx)

`ForgedDpos` makes what the PoW chain looks at (parent, number, requestsHash, signatures) and nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ioex_chain.bridge.settlement import BridgeSettlements, build_settlement, choose_coins, settlement_rule
from ioex_chain.dpos import seal
from ioex_chain.dpos.header import Header
from ioex_chain.dpos.pow_facts import requests_hash
from ioex_chain.dpos.votes import Certificate, Checkpoint, Link
from ioex_chain.evm.bridge_messages import (
    Handover,
    Withdraw,
    accumulate,
    accumulator_request,
    encode_request,
)
from ioex_chain.pow.reserve import ReserveState, reserve_state
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.pow.utxo import Coin, get_coin
from ioex_chain.primitives.types import BlockHash, OutPoint
from ioex_chain.spec.model import GenesisMember, NetworkSpec

from .owners import private_key
from .pool_world import PoolWorld
from .specs import story_spec


def arbitrators(count: int, name: str = "arbitrator") -> tuple[bytes, ...]:
    """Give private keys of a set."""
    return tuple(private_key(f"{name} {number}") for number in range(count))


def keys_of(privates: Iterable[bytes]) -> tuple[bytes, ...]:
    """Give their 20-byte addresses."""
    return tuple(seal.address_of(private) for private in privates)


def settlement_spec(privates: Sequence[bytes]) -> NetworkSpec:
    """Give `story_spec` with set 0."""
    spec = story_spec()
    members = tuple(GenesisMember(key, key) for key in keys_of(privates))
    return replace(spec, dpos=replace(spec.dpos, members=members))


class ForgedDpos:
    """A chain of headers, the requests that they drain, and who may sign for them."""

    def __init__(self, genesis: bytes, privates: Sequence[bytes]) -> None:
        self.genesis = genesis
        self.sets: dict[int, tuple[bytes, ...]] = {0: tuple(privates)}
        self.requests: list[bytes] = []
        self.accumulators = [bytes(32)]
        self.headers = [self._header(BlockHash(bytes(32)), 0, [accumulator_request(0, bytes(32))])]
        self.counts = [0]
        self._numbered = 0

    def _header(self, parent: BlockHash, number: int, requests: Sequence[bytes]) -> Header:
        numbers = (0, number, 210_000_000, 0, 1_700_000_000 + number)
        head = (parent, bytes(32), bytes(20), bytes(32), bytes(32), bytes(32), bytes(256), *numbers)
        tail = (b"", bytes(32), bytes(8), 7, bytes(32), 0, 0, bytes(32), requests_hash(requests))
        return Header(*head, *tail)  # type: ignore[arg-type]

    def withdraw(self, amount: int, script: bytes) -> bytes:
        """Make the next request: a withdrawal."""
        self._numbered += 1
        return encode_request(Withdraw(self._numbered, amount, script))

    def handover(self, privates: Sequence[bytes]) -> bytes:
        """Make the next request: a handover to a new set of these keys."""
        self._numbered += 1
        number = len(self.sets)
        self.sets[number] = tuple(privates)
        return encode_request(Handover(self._numbered, number, keys_of(privates)))

    def drain(self, *requests: bytes) -> int:
        """Make a block that drains these requests; give its height."""
        for request in requests:
            self.requests.append(request)
            self.accumulators.append(accumulate(self.accumulators[-1], request))
        count, parent = len(self.requests), self.headers[-1]
        own = [*requests, accumulator_request(count, self.accumulators[count])]
        self.headers.append(self._header(parent.hash, parent.number + 1, own))
        self.counts.append(count)
        return parent.number + 1

    def link(self, height: int, number: int = 0) -> Link:
        """Give the link that makes the block at `height` final."""
        source, target = self.headers[height], self.headers[height + 1]
        return Link(number, Checkpoint(source.hash, height), Checkpoint(target.hash, height + 1))

    def certificate(
        self,
        height: int,
        number: int = 0,
        *,
        voters: Sequence[bytes] | None = None,
        before: Sequence[bytes] = (),
        absent: Iterable[int] = (),
        link: Link | None = None,
        genesis: bytes | None = None,
    ) -> Certificate:
        """Have the block at `height` finalised by set `number`, beside the set `before` if there is one.

        `voters` replaces them all; those at the places `absent` do not sign.
        """
        own = self.sets[number]
        everyone = (*own, *(private for private in before if private not in own))
        link = link or self.link(height, number)
        digest = seal.vote_digest(genesis or self.genesis, link)
        places = [at for at in range(len(voters or everyone)) if at not in set(absent)]
        signatures = tuple(seal.sign((voters or everyone)[at], digest) for at in places)
        return Certificate(link, sum(1 << at for at in places), signatures)


class SettlementWorld(PoolWorld):
    """A PoW chain with the bridge's rule, its pool, and a DPoS chain to settle from."""

    rule: BridgeSettlements

    def __init__(self, count: int = 4, **policy: object) -> None:
        """`count` arbitrators are in set 0; `policy` are fields of Policy."""
        self.privates = arbitrators(count)
        spec = settlement_spec(self.privates)
        self.rule = settlement_rule(spec)
        super().__init__(spec, settlements=self.rule, **policy)
        self.dpos = ForgedDpos(self.rule.electorate.genesis, self.privates)

    @property
    def state(self) -> ReserveState:
        """The reserve at the head."""
        return reserve_state(self.ledger.view())

    def settlement(
        self,
        height: int | None = None,
        *,
        certificate: Certificate | None = None,
        coins: Sequence[tuple[OutPoint, Coin]] | None = None,
        state: ReserveState | None = None,
    ) -> Transaction:
        """Settle up to the DPoS block at `height`, by default the newest one, on which another is made."""
        dpos = self.dpos
        height = len(dpos.headers) - 1 if height is None else height
        if height == len(dpos.headers) - 1:
            dpos.drain()
        state = state or self.state
        count = dpos.counts[height]
        requests = dpos.requests[state.count : count]
        own = min(count - dpos.counts[height - 1], len(requests))
        if coins is None:  # without those that are only gathered
            chosen = choose_coins(self.ledger.view(), self.spec, self.ledger.head.height + 1, requests)
            coins = chosen[:1]
        final, child = dpos.headers[height], dpos.headers[height + 1]
        certificate = certificate or dpos.certificate(height)
        return build_settlement(self.rule, final, child, certificate, requests, own, state, coins)

    def coins_of(self, tx: Transaction) -> list[Coin]:
        """Give the coins that a transaction spends at the head."""
        found = [get_coin(self.ledger.view(), item.outpoint) for item in tx.inputs]
        assert all(found)
        return found  # type: ignore[return-value]

    def with_reserve(self, value: int, script: bytes) -> None:
        """Mine an ordinary transaction that pays `value` to the reserve."""
        self.mine(self.pay((value, script)))


def edited(
    tx: Transaction,
    *,
    items: dict[int, bytes] | None = None,
    outputs: Sequence[TxOut] | None = None,
    inputs: Sequence[TxIn] | None = None,
    version: int | None = None,
    lock_time: int | None = None,
) -> Transaction:
    """Give a settlement with parts replaced; `items` are items of the first witness by place."""
    sources = list(tx.inputs if inputs is None else inputs)
    if items:
        stack = list(sources[0].witness)
        for place, item in items.items():
            stack[place] = item
        sources[0] = sources[0]._replace(witness=tuple(stack))
    return Transaction.build(
        tx.version if version is None else version,
        sources,
        tx.outputs if outputs is None else outputs,
        tx.lock_time if lock_time is None else lock_time,
    )

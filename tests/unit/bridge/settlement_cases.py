"""Ways to take coins from the reserve that must fail, each with the rule that it breaks.

Every case starts from `prepared()`: requests 1 and 2 are settled, a sound settlement of 3 to 5 could be made.
Form, headers and certificate are broken here, sets, requests and outputs in modules of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from chaingen.owners import private_key
from chaingen.settlements import SettlementWorld, edited
from chaingen.specs import key

from ioex_chain.bridge.dpos_light import Requests, Votes
from ioex_chain.bridge.settlement import build_settlement, choose_coins
from ioex_chain.crypto import secp256k1
from ioex_chain.crypto.address import reserve_change_script
from ioex_chain.dpos import seal
from ioex_chain.dpos.pow_facts import requests_hash
from ioex_chain.dpos.votes import Checkpoint, Link
from ioex_chain.pow import errors as pow_errors
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.reserve import scan_reserve
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.primitives import rlp
from ioex_chain.primitives.types import COIN

BOB, CAROL = key("bob").script, key("carol").script
CHANGE = reserve_change_script()
FEE = 10_000

Make = Callable[[SettlementWorld], Transaction]
CASES: dict[str, tuple[type[Exception], Make]] = {}


def prepared(count: int = 4) -> SettlementWorld:
    """Give a world as all cases find it; `height` is that of the DPoS block to settle up to."""
    world = SettlementWorld(count)
    world.dpos.drain(world.dpos.withdraw(COIN, BOB), world.dpos.withdraw(2 * COIN, CAROL))
    world.mine(world.settlement())
    world.dpos.drain(world.dpos.withdraw(3 * COIN, BOB))
    world.dpos.drain(world.dpos.withdraw(4 * COIN, CAROL), world.dpos.withdraw(5 * COIN, BOB))
    world.dpos.drain()
    return world


HEIGHT = 4
"""Of the DPoS block that drained requests 4 and 5 in a prepared world."""


def case(name: str, error: type[Exception]) -> Callable[[Make], Make]:
    """Add a case."""

    def add(make: Make) -> Make:
        assert name not in CASES
        CASES[name] = error, make
        return make

    return add


def good(world: SettlementWorld) -> Transaction:
    """Give the sound settlement of a prepared world."""
    return world.settlement(HEIGHT)


def shown(tx: Transaction) -> Requests:
    """Give the requests of a settlement."""
    return Requests.decode(tx.inputs[0].witness[3])


def with_requests(tx: Transaction, raw: Sequence[bytes], own: int | None = None) -> Transaction:
    """Give a settlement with other requests."""
    return edited(tx, items={3: Requests(shown(tx).own if own is None else own, tuple(raw)).encode()})


def with_votes(tx: Transaction, votes: Votes) -> Transaction:
    """Give a settlement with another certificate."""
    return edited(tx, items={2: votes.encode()})


def votes_of(tx: Transaction) -> Votes:
    """Give the certificate of a settlement."""
    return Votes.decode(tx.inputs[0].witness[2])


def signed(world: SettlementWorld, places: Sequence[int], by: Sequence[bytes], link: Link) -> Votes:
    """Give votes for a link at these bits by these keys."""
    digest = seal.vote_digest(world.dpos.genesis, link)
    return Votes(link.set_number, sum(1 << at for at in places), tuple(seal.sign(one, digest) for one in by))


def outputs_with(tx: Transaction, changes: dict[int, TxOut]) -> Transaction:
    """Give a settlement with outputs replaced by place."""
    return edited(tx, outputs=[changes.get(at, output) for at, output in enumerate(tx.outputs)])


def forged_request(world: SettlementWorld, request: bytes) -> Transaction:
    """Have the arbitrators themselves certify a request that no Bridge makes; give its settlement."""
    state, height = world.state, world.dpos.drain(request)
    world.dpos.drain()
    requests = world.dpos.requests[state.count :]
    final, child = world.dpos.headers[height], world.dpos.headers[height + 1]
    coins = choose_coins(world.ledger.view(), world.spec, world.ledger.head.height + 1, [])
    certificate = world.dpos.certificate(height)
    tx = build_settlement(world.rule, final, child, certificate, [], 0, state, coins)
    return with_requests(tx, requests, 1)


# --- form ---


@case("an ordinary coin beside the reserve's", errors.MixedInputs)
def _(world: SettlementWorld) -> Transaction:
    tx, coin = good(world), world.chain.take()
    return edited(tx, inputs=[*tx.inputs, TxIn(coin.outpoint, b"", 0xFFFFFFFF)])


@case("an ordinary coin before the reserve's", errors.MixedInputs)
def _(world: SettlementWorld) -> Transaction:
    tx, coin = good(world), world.chain.take()
    first = TxIn(coin.outpoint, b"", 0xFFFFFFFF, tx.inputs[0].witness)
    return edited(tx, inputs=[first, *(item._replace(witness=()) for item in tx.inputs)])


@case("65 inputs", errors.TooManyReserveInputs)
def _(world: SettlementWorld) -> Transaction:
    world.mine(world.pay(*[(COIN, CHANGE)] * 65))
    return good_with(world, 65)


def good_with(world: SettlementWorld, count: int) -> Transaction:
    """Give a sound settlement but for its number of inputs."""
    height = world.ledger.head.height + 1
    found = [
        (outpoint, coin)
        for outpoint, coin in scan_reserve(world.ledger.view())
        if not coin.is_coinbase or height - coin.height >= world.spec.pow.coinbase_maturity
    ]
    return world.settlement(HEIGHT, coins=found[:count])


@case("version 1", errors.SettlementVersion)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), version=1)


@case("version 3", errors.SettlementVersion)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), version=3)


@case("a lock time", errors.SettlementLockTime)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), lock_time=1)


@case("a sequence that is not final", errors.SettlementSequence)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, inputs=[tx.inputs[0]._replace(sequence=0xFFFFFFFE), *tx.inputs[1:]])


@case("an input script", pow_errors.InputScriptNotEmpty)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, inputs=[tx.inputs[0]._replace(script=b"\x51"), *tx.inputs[1:]])


@case("a witness at the second input", errors.OtherWitness)
def _(world: SettlementWorld) -> Transaction:
    world.with_reserve(COIN, CHANGE)
    tx = good_with(world, 2)
    return edited(tx, inputs=[tx.inputs[0], tx.inputs[1]._replace(witness=(b"",))])


@case("three witness items", errors.SettlementWitness)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, inputs=[tx.inputs[0]._replace(witness=tx.inputs[0].witness[:3]), *tx.inputs[1:]])


@case("five witness items", errors.SettlementWitness)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, inputs=[tx.inputs[0]._replace(witness=(*tx.inputs[0].witness, b"")), *tx.inputs[1:]])


@case("no witness at all", errors.SettlementWitness)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, inputs=[tx.inputs[0]._replace(witness=()), *tx.inputs[1:]])


@case("an immature arbitrator reward", pow_errors.Immature)
def _(world: SettlementWorld) -> Transaction:
    rewards = scan_reserve(world.ledger.view(), world.spec.pow.arbitrator_reward)
    return world.settlement(HEIGHT, coins=[max(rewards, key=lambda found: found[1].height)])


# --- headers ---


@case("a byte after the first header", errors.HeaderUnreadable)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, items={0: tx.inputs[0].witness[0] + b"\0"})


@case("a byte after the second header", errors.HeaderUnreadable)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, items={1: tx.inputs[0].witness[1] + b"\0"})


@case("no header", errors.HeaderUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), items={0: b""})


@case("a header with a number written with a zero before it", errors.HeaderUnreadable)
def _(world: SettlementWorld) -> Transaction:
    fields = world.dpos.headers[HEIGHT].fields()
    fields[8] = b"\0" + fields[8]
    return edited(good(world), items={0: rlp.encode(fields)})


@case("a header that is not the first's child", errors.NotItsChild)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), items={1: world.dpos.headers[HEIGHT].encode()})


@case("a header with another requestsHash", errors.NotItsChild)
def _(world: SettlementWorld) -> Transaction:
    forged = replace(world.dpos.headers[HEIGHT], requests_hash=requests_hash([b"\xff"]))
    return edited(good(world), items={0: forged.encode()})


@case("a child two heights above", errors.WrongHeights)
def _(world: SettlementWorld) -> Transaction:
    forged = replace(world.dpos.headers[HEIGHT + 1], number=HEIGHT + 2)
    return edited(good(world), items={1: forged.encode()})


# --- certificate ---


@case("a byte after the certificate", errors.CertificateUnreadable)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, items={2: tx.inputs[0].witness[2] + b"\0"})


@case("a certificate of two fields", errors.CertificateUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), items={2: rlp.encode([b"", b"\x07"])})


@case("a certificate of four fields", errors.CertificateUnreadable)
def _(world: SettlementWorld) -> Transaction:
    votes = votes_of(good(world))
    fields = [b"", rlp.encode_integer(votes.signers), b"".join(votes.signatures), b""]
    return edited(good(world), items={2: rlp.encode(fields)})


@case("a certificate that is no list", errors.CertificateUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), items={2: b"\x80"})


@case("signers written with a zero before them", errors.CertificateUnreadable)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    votes = votes_of(tx)
    bits = b"\0" + rlp.encode_integer(votes.signers)
    return edited(tx, items={2: rlp.encode([b"", bits, b"".join(votes.signatures)])})


@case("a signature too few for the bits", errors.SignatureCount)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    votes = votes_of(tx)
    return with_votes(tx, votes._replace(signatures=votes.signatures[:-1]))


@case("a bit beyond the members", errors.UnknownSigner)
def _(world: SettlementWorld) -> Transaction:
    link = world.dpos.link(HEIGHT)
    return with_votes(good(world), signed(world, (0, 1, 2, 4), (*world.privates[:3], private_key("x")), link))


@case("one signature short", errors.NoQuorum)
def _(world: SettlementWorld) -> Transaction:
    votes = signed(world, (0, 1), world.privates[:2], world.dpos.link(HEIGHT))
    return with_votes(good(world), votes)


@case("no signature", errors.NoQuorum)
def _(world: SettlementWorld) -> Transaction:
    return with_votes(good(world), Votes(0, 0, ()))


@case("one member for two", errors.DuplicateSigner)
def _(world: SettlementWorld) -> Transaction:
    by = (world.privates[0], world.privates[1], world.privates[1])
    return with_votes(good(world), signed(world, (0, 1, 2), by, world.dpos.link(HEIGHT)))


@case("one member for three", errors.DuplicateSigner)
def _(world: SettlementWorld) -> Transaction:
    return with_votes(good(world), signed(world, (0, 1, 2), world.privates[:1] * 3, world.dpos.link(HEIGHT)))


@case("two signatures at each other's bits", errors.WrongOrder)
def _(world: SettlementWorld) -> Transaction:
    by = (world.privates[1], world.privates[0], world.privates[2])
    return with_votes(good(world), signed(world, (0, 1, 2), by, world.dpos.link(HEIGHT)))


@case("the bits shifted by one", errors.WrongOrder)
def _(world: SettlementWorld) -> Transaction:
    return with_votes(good(world), signed(world, (1, 2, 3), world.privates[:3], world.dpos.link(HEIGHT)))


@case("a stranger's signature", errors.NotAMember)
def _(world: SettlementWorld) -> Transaction:
    by = (*world.privates[:2], private_key("stranger"))
    return with_votes(good(world), signed(world, (0, 1, 2), by, world.dpos.link(HEIGHT)))


@case("a signature with a high S", errors.SignatureForm)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    votes = votes_of(tx)
    first = votes.signatures[0]
    high = (secp256k1.ORDER - int.from_bytes(first[32:64], "big")).to_bytes(32, "big")
    turned = first[:32] + high + bytes((first[64] ^ 1,))
    return with_votes(tx, votes._replace(signatures=(turned, *votes.signatures[1:])))


@case("a recovery byte of 27", errors.SignatureForm)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    votes = votes_of(tx)
    first = votes.signatures[0]
    turned = first[:64] + bytes((first[64] + 27,))
    return with_votes(tx, votes._replace(signatures=(turned, *votes.signatures[1:])))


@case("a signature of zeros", errors.SignatureForm)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    votes = votes_of(tx)
    return with_votes(tx, votes._replace(signatures=(bytes(65), *votes.signatures[1:])))


@case("a certificate from an earlier block, so that nothing is final", errors.NotAMember)
def _(world: SettlementWorld) -> Transaction:
    skipping = Link(0, world.dpos.link(HEIGHT - 1).source, world.dpos.link(HEIGHT).target)
    return with_votes(good(world), signed(world, (0, 1, 2), world.privates[:3], skipping))


@case("a certificate for the block itself, which only justifies it", errors.NotAMember)
def _(world: SettlementWorld) -> Transaction:
    return with_votes(good(world), signed(world, (0, 1, 2), world.privates[:3], world.dpos.link(HEIGHT - 1)))


@case("a certificate for another child", errors.NotAMember)
def _(world: SettlementWorld) -> Transaction:
    link = replace(world.dpos.link(HEIGHT), target=Checkpoint(world.dpos.headers[0].hash, HEIGHT + 1))
    return with_votes(good(world), signed(world, (0, 1, 2), world.privates[:3], link))


@case("a certificate of a chain with another genesis", errors.NotAMember)
def _(world: SettlementWorld) -> Transaction:
    certificate = world.dpos.certificate(HEIGHT, genesis=bytes(32), absent=(3,))
    return with_votes(good(world), Votes(0, certificate.signers, certificate.signatures))


@case("votes in the name of another set", errors.NotAMember)
def _(world: SettlementWorld) -> Transaction:
    link = replace(world.dpos.link(HEIGHT), set_number=1)
    votes = signed(world, (0, 1, 2), world.privates[:3], link)
    return with_votes(good(world), votes._replace(set_number=0))


@case("a set that nobody handed over", errors.UnknownSet)
def _(world: SettlementWorld) -> Transaction:
    link = replace(world.dpos.link(HEIGHT), set_number=1)
    return with_votes(good(world), signed(world, (0, 1, 2), world.privates[:3], link))

"""Requests that must not be settled; see `settlement_cases`."""

from collections.abc import Sequence
from dataclasses import replace

from chaingen.settlements import SettlementWorld, edited
from settlement_cases import BOB, CAROL, CHANGE, FEE, HEIGHT, case, forged_request, good, shown, with_requests

from ioex_chain.bridge.settlement import choose_coins
from ioex_chain.crypto.address import deposit_script
from ioex_chain.dpos.pow_facts import requests_hash
from ioex_chain.evm.bridge_messages import Withdraw, accumulator_request, encode_request
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.primitives import rlp
from ioex_chain.primitives.types import COIN


@case("a byte after the requests", errors.RequestsUnreadable)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, items={3: tx.inputs[0].witness[3] + b"\0"})


@case("requests without their list", errors.RequestsUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), items={3: rlp.encode([b"\x02"])})


@case("more items than requests have room", errors.RequestsUnreadable)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    many = [encode_request(Withdraw(9, COIN, BOB)), *[b""] * 1_000]
    return edited(tx, items={3: rlp.encode([b"", many])})


@case("a list where a request belongs", errors.RequestsUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), items={3: rlp.encode([b"\x02", [[]]])})


@case("requests that are no pair", errors.RequestsUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return edited(good(world), items={3: rlp.encode([b"\x02", [], []])})


@case("a count of own requests written with a zero before it", errors.RequestsUnreadable)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, items={3: rlp.encode([b"\0\x02", list(shown(tx).raw)])})


@case("a request of an unknown kind", errors.UnknownRequestKind)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, b"\x12" + encode_request(Withdraw(6, COIN, BOB))[1:])


@case("an empty request", errors.UnknownRequestKind)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, b"")


@case("an accumulator as a request", errors.UnknownRequestKind)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, accumulator_request(6, bytes(32)))


@case("a byte after a request", errors.RequestUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, encode_request(Withdraw(6, COIN, BOB)) + b"\0")


@case("a withdrawal to a deposit address", errors.RequestUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, encode_request(Withdraw(6, COIN, deposit_script(bytes(20)))))


@case("a withdrawal to reserve change", errors.RequestUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, encode_request(Withdraw(6, COIN, CHANGE)))


@case("a withdrawal of no more than the fee", errors.RequestUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, encode_request(Withdraw(6, FEE, BOB)))


@case("a withdrawal above the largest output", errors.RequestUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, encode_request(Withdraw(6, 20_000_000 * COIN + 1, BOB)))


@case("a whole settlement again", errors.RequestSettled)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    world.mine(tx)
    coins = choose_coins(world.ledger.view(), world.spec, world.ledger.head.height + 1, shown(tx).raw)
    rest = sum(coin.value for _, coin in coins) - 12 * COIN
    again = [TxIn(outpoint, b"", 0xFFFFFFFF) for outpoint, _ in coins]
    again[0] = again[0]._replace(witness=tx.inputs[0].witness)
    return edited(tx, inputs=again, outputs=[*tx.outputs[:3], TxOut(rest, CHANGE)])


@case("a request that was settled", errors.RequestSettled)
def _(world: SettlementWorld) -> Transaction:
    return with_requests(good(world), world.dpos.requests[1:])


@case("a request left out at the start", errors.RequestMissing)
def _(world: SettlementWorld) -> Transaction:
    return with_requests(good(world), world.dpos.requests[3:])


@case("a request left out in the middle", errors.RequestOrder)
def _(world: SettlementWorld) -> Transaction:
    three, _, five = shown(good(world)).raw
    return with_requests(good(world), (three, five))


@case("requests in another order", errors.RequestOrder)
def _(world: SettlementWorld) -> Transaction:
    three, four, five = shown(good(world)).raw
    return with_requests(good(world), (three, five, four))


@case("a request twice", errors.RequestSettled)
def _(world: SettlementWorld) -> Transaction:
    three, four, five = shown(good(world)).raw
    settled = world.dpos.requests[1]
    return with_requests(good(world), (three, settled, four, five))


@case("the last request twice", errors.RequestOrder)
def _(world: SettlementWorld) -> Transaction:
    raw = shown(good(world)).raw
    return with_requests(good(world), (*raw, raw[-1]))


@case("a request left out at the end", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    return with_requests(good(world), shown(good(world)).raw[:-1])


@case("a request of later blocks at the end", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    more = encode_request(Withdraw(6, COIN, BOB))
    return with_requests(good(world), (*shown(good(world)).raw, more))


@case("a request's amount altered", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    three, four, _ = shown(good(world)).raw
    return with_requests(good(world), (three, four, encode_request(Withdraw(5, 5 * COIN + 1, BOB))))


@case("an earlier block's request altered", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    _, four, five = shown(good(world)).raw
    return with_requests(good(world), (encode_request(Withdraw(3, 3 * COIN, CAROL)), four, five))


@case("one own request too few", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    return with_requests(good(world), shown(good(world)).raw, 1)


@case("one own request too many", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    return with_requests(good(world), shown(good(world)).raw, 3)


@case("more own requests than requests", errors.WrongOwnCount)
def _(world: SettlementWorld) -> Transaction:
    return with_requests(good(world), shown(good(world)).raw, 4)


@case("a final block whose list has no accumulator", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    return forged_list(world, world.dpos.requests[3:5])


@case("a final block whose accumulator is zero", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    return forged_list(world, [*world.dpos.requests[3:5], accumulator_request(5, bytes(32))])


@case("a final block whose accumulator counts one more", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    return forged_list(world, [*world.dpos.requests[3:5], accumulator_request(6, world.dpos.accumulators[5])])


@case("a final block with an empty list", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    return forged_list(world, [])


def forged_list(world: SettlementWorld, own: Sequence[bytes]) -> Transaction:
    """Settle with a block, certified by the arbitrators, whose list of requests is wrong."""
    dpos = world.dpos
    dpos.headers[HEIGHT] = replace(dpos.headers[HEIGHT], requests_hash=requests_hash(own))
    dpos.headers[HEIGHT + 1] = replace(dpos.headers[HEIGHT + 1], parent_hash=dpos.headers[HEIGHT].hash)
    return world.settlement(HEIGHT)


@case("a final block whose requestsHash is zero", errors.WrongRequestsHash)
def _(world: SettlementWorld) -> Transaction:
    dpos = world.dpos
    dpos.headers[HEIGHT] = replace(dpos.headers[HEIGHT], requests_hash=bytes(32))
    dpos.headers[HEIGHT + 1] = replace(dpos.headers[HEIGHT + 1], parent_hash=dpos.headers[HEIGHT].hash)
    return world.settlement(HEIGHT)


@case("nothing settled and no set changed", errors.NothingSettled)
def _(world: SettlementWorld) -> Transaction:
    world.mine(good(world))
    return world.settlement(world.dpos.drain())

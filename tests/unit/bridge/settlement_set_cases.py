"""Ways to have a set believed that must not be; see `settlement_cases`."""

from collections.abc import Sequence

from chaingen.settlements import SettlementWorld, arbitrators, keys_of
from settlement_cases import BOB, case, forged_request, signed, with_votes

from ioex_chain.dpos.votes import Certificate
from ioex_chain.evm.bridge_messages import Handover, encode_request
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN


def handed_over(world: SettlementWorld, privates: Sequence[bytes]) -> int:
    """Settle all that waits and a handover to a new set; give the set's number."""
    number = len(world.dpos.sets)
    world.dpos.drain(world.dpos.handover(privates))
    world.mine(world.settlement())
    assert world.state.pending[-1].number == number
    return number


def joint(world: SettlementWorld, number: int, **changes: object) -> Transaction:
    """Have the next block settled by a set and the one before it."""
    height = world.dpos.drain(world.dpos.withdraw(7 * COIN, BOB))
    world.dpos.drain()
    before = world.dpos.sets[number - 1]
    certificate = world.dpos.certificate(height, number, before=before, **changes)
    return world.settlement(height, certificate=certificate)


def after(world: SettlementWorld, height: int, number: int) -> Certificate:
    """Have the newest block finalised by a set that stands alone."""
    world.dpos.drain()
    return world.dpos.certificate(height, number)


@case("a set handed over by the same settlement", errors.UnknownSet)
def _(world: SettlementWorld) -> Transaction:
    height = world.dpos.drain(world.dpos.handover(arbitrators(4, "next")))
    tx = world.settlement(height)
    link = world.dpos.link(height, 1)
    voters = (*world.dpos.sets[1], *world.privates)
    return with_votes(tx, signed(world, range(8), voters, link))


@case("a new set without the old one", errors.NoQuorumBefore)
def _(world: SettlementWorld) -> Transaction:
    number = handed_over(world, arbitrators(4, "next"))
    tx = joint(world, number)
    link = world.dpos.link(len(world.dpos.headers) - 2, number)
    return with_votes(tx, signed(world, range(4), world.dpos.sets[number], link))


@case("a new set with the old one's quorum short by one", errors.NoQuorumBefore)
def _(world: SettlementWorld) -> Transaction:
    number = handed_over(world, arbitrators(4, "next"))
    tx = joint(world, number)
    link = world.dpos.link(len(world.dpos.headers) - 2, number)
    return with_votes(tx, signed(world, range(6), (*world.dpos.sets[number], *world.privates[:2]), link))


@case("an old set with the new one's quorum short by one", errors.NoQuorum)
def _(world: SettlementWorld) -> Transaction:
    number = handed_over(world, arbitrators(4, "next"))
    tx = joint(world, number)
    link = world.dpos.link(len(world.dpos.headers) - 2, number)
    places = (0, 1, 4, 5, 6, 7)
    return with_votes(tx, signed(world, places, (*world.dpos.sets[number][:2], *world.privates), link))


@case("back to the set that gave way", errors.ForgottenSet)
def _(world: SettlementWorld) -> Transaction:
    number = handed_over(world, arbitrators(4, "next"))
    world.mine(joint(world, number))
    assert world.state.current.number == number
    height = world.dpos.drain(world.dpos.withdraw(COIN, BOB))
    tx = world.settlement(height, certificate=after(world, height, number))
    return with_votes(tx, signed(world, (0, 1, 2), world.privates[:3], world.dpos.link(height, 0)))


@case("back to a set that was skipped", errors.ForgottenSet)
def _(world: SettlementWorld) -> Transaction:
    handed_over(world, arbitrators(4, "skipped"))
    number = handed_over(world, arbitrators(4, "next"))
    height = world.dpos.drain(world.dpos.withdraw(7 * COIN, BOB))
    world.dpos.drain()
    certificate = world.dpos.certificate(height, number, before=world.privates)
    world.mine(world.settlement(height, certificate=certificate))
    assert (world.state.current.number, world.state.pending) == (2, ())
    height = world.dpos.drain(world.dpos.withdraw(COIN, BOB))
    tx = world.settlement(height, certificate=after(world, height, number))
    voters = (*world.dpos.sets[1], *world.dpos.sets[2])
    return with_votes(tx, signed(world, range(8), voters, world.dpos.link(height, 1)))


@case("a member of the old set for the new one", errors.UnknownSigner)
def _(world: SettlementWorld) -> Transaction:
    number = handed_over(world, arbitrators(4, "next"))
    world.mine(joint(world, number))
    height = world.dpos.drain(world.dpos.withdraw(COIN, BOB))
    tx = world.settlement(height, certificate=after(world, height, number))
    by = (*world.dpos.sets[number][:2], world.privates[0])
    return with_votes(tx, signed(world, (0, 1, 4), by, world.dpos.link(height, number)))


@case("a set number skipped by a handover", errors.WrongSetNumber)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, encode_request(Handover(6, 2, keys_of(arbitrators(4, "next")))))


@case("a handover back to a set that was handed over", errors.WrongSetNumber)
def _(world: SettlementWorld) -> Transaction:
    handed_over(world, arbitrators(4, "next"))
    return forged_request(world, encode_request(Handover(7, 1, keys_of(arbitrators(4, "other")))))


@case("a handover to one key twice", errors.WrongMembers)
def _(world: SettlementWorld) -> Transaction:
    (one,) = keys_of(arbitrators(1))
    return forged_request(world, encode_request(Handover(6, 1, (one, one))))


@case("a handover to a key of zeros", errors.WrongMembers)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, encode_request(Handover(6, 1, (*keys_of(arbitrators(3)), bytes(20)))))


@case("a handover to nobody", errors.RequestUnreadable)
def _(world: SettlementWorld) -> Transaction:
    return forged_request(world, encode_request(Handover(6, 1, ())))

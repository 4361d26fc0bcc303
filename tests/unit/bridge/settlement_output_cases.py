"""Outputs that no request asks for; see `settlement_cases`."""

from chaingen.settlements import SettlementWorld, edited
from chaingen.specs import key
from settlement_cases import BOB, CHANGE, case, good, outputs_with

from ioex_chain.crypto.address import deposit_script
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.reserve import scan_reserve
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.primitives.types import COIN


@case("a payout of one unit more", errors.WrongPayout)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return outputs_with(tx, {0: TxOut(tx.outputs[0].value + 1, BOB)})


@case("a payout of one unit less", errors.WrongPayout)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return outputs_with(tx, {2: TxOut(tx.outputs[2].value - 1, BOB)})


@case("a payout without the fee taken off", errors.WrongPayout)
def _(world: SettlementWorld) -> Transaction:
    return outputs_with(good(world), {0: TxOut(3 * COIN, BOB)})


@case("a payout to somebody else", errors.WrongPayout)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return outputs_with(tx, {0: TxOut(tx.outputs[0].value, key("thief").script)})


@case("payouts in another order", errors.WrongPayout)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return outputs_with(tx, {0: tx.outputs[1], 1: tx.outputs[0]})


@case("change before the payouts", errors.WrongPayout)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, outputs=[tx.outputs[-1], *tx.outputs[:-1]])


@case("a payout left out", errors.WrongPayout)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, outputs=tx.outputs[1:])


@case("the change left out", errors.MissingChange)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, outputs=tx.outputs[:-1])


@case("an output to oneself behind the change", errors.ExtraOutput)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    last = tx.outputs[-1]
    return edited(tx, outputs=[*tx.outputs[:-1], TxOut(last.value - COIN, CHANGE), TxOut(COIN, BOB)])


@case("an empty piece of change", errors.ExtraOutput)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, outputs=[*tx.outputs, TxOut(0, CHANGE)])


@case("a word to the world behind the change", errors.ExtraOutput)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return edited(tx, outputs=[*tx.outputs, TxOut(0, b"\x6a\x02hi")])


@case("the change to oneself", errors.ChangeScript)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return outputs_with(tx, {3: TxOut(tx.outputs[3].value, BOB)})


@case("the change to a deposit address", errors.ChangeScript)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return outputs_with(tx, {3: TxOut(tx.outputs[3].value, deposit_script(bytes(20)))})


@case("a fee of one unit more", errors.WrongFee)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return outputs_with(tx, {3: TxOut(tx.outputs[3].value - 1, CHANGE)})


@case("a fee of one unit less", errors.WrongFee)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    return outputs_with(tx, {3: TxOut(tx.outputs[3].value + 1, CHANGE)})


@case("the change split otherwise", errors.ExtraOutput)
def _(world: SettlementWorld) -> Transaction:
    tx = good(world)
    last = tx.outputs[-1]
    halves = [TxOut(last.value - COIN, CHANGE), TxOut(COIN, CHANGE)]
    return edited(tx, outputs=[*tx.outputs[:-1], *halves])


@case("inputs that do not cover the withdrawals", errors.ReserveTooSmall)
def _(world: SettlementWorld) -> Transaction:
    world.with_reserve(11 * COIN, CHANGE)
    tx = good(world)
    small = next(found for found in scan_reserve(world.ledger.view(), 11 * COIN))
    item = tx.inputs[0]._replace(outpoint=small[0])
    return edited(tx, inputs=[item], outputs=[TxOut(10 * COIN, BOB)])

"""ServiceLedger: backups paid by time, readings paid by download, and what is not earned goes back."""

import pytest
from contract_world import Reverted, address, key_address, private_key, reentering
from contribution_world import Contribution

from ioex_chain.evm.contribution_receipts import Downloads, sign
from ioex_chain.evm.system import selector
from ioex_chain.evm.types import WEI

SENDER, RECEIVER, ANYBODY = key_address("sender"), key_address("receiver"), address(9)
LEDGER, CONTENT = "ServiceLedger", b"\xcc" * 32
BACKUP, AUTHORISATION = 1, 2
OFFERED, ACTIVE, CLOSED = 1, 2, 3
DAYS = 86_400
PRICE = 90 * WEI


@pytest.fixture
def world() -> Contribution:
    return Contribution()


def entry(world: Contribution, number: int = 1) -> dict:
    names = ("sender", "receiver", "content", "price", "released", "earned", "kind", "status")
    names += ("downloads", "most", "start", "end")
    return dict(zip(names, world.ask(LEDGER, "entry", number), strict=True))


def check_money(world: Contribution) -> None:
    held = world.ask(LEDGER, "escrowed") + world.ask(LEDGER, "creditTotal")
    assert world.balance(world.where(LEDGER)) == held


def credited(world: Contribution) -> tuple[int, int]:
    check_money(world)
    return world.ask(LEDGER, "credits", SENDER), world.ask(LEDGER, "credits", RECEIVER)


def order(world: Contribution, accept: bool = True) -> int:
    number = world.call(SENDER, LEDGER, "order", RECEIVER, CONTENT, value=PRICE)
    if accept:
        world.call(RECEIVER, LEDGER, "accept", number)
    return number


def authorise(world: Contribution, accept: bool = True) -> int:
    number = world.call(SENDER, LEDGER, "authorise", RECEIVER, CONTENT, PRICE, 10 * DAYS, 9)
    if accept:
        world.call(RECEIVER, LEDGER, "accept", number, value=PRICE)
    return number


def acknowledge(world: Contribution, number: int, count: int, by: str = "receiver") -> None:
    signature = sign(world.spec, Downloads(number, count), private_key(by))
    parts = signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    world.call(ANYBODY, LEDGER, "countDownloads", number, count, *parts)


# --- backups ---------------------------------------------------------------------------------------------


def test_a_backup_earns_its_price_evenly_over_90_days(world):
    number = order(world, accept=False)
    assert world.names() == ["Offered"]
    assert (entry(world)["kind"], entry(world)["status"], entry(world)["end"]) == (BACKUP, OFFERED, 90 * DAYS)
    world.call(RECEIVER, LEDGER, "accept", number)
    assert (world.names(), entry(world)["end"]) == (["Accepted"], world.time + 90 * DAYS)
    world.time += 30 * DAYS
    assert entry(world)["earned"] == 30 * WEI
    world.call(ANYBODY, LEDGER, "release", number)
    assert (world.names(), credited(world)) == (["Released"], (0, 30 * WEI))
    with pytest.raises(Reverted, match="nothing is earned"):
        world.call(ANYBODY, LEDGER, "release", number)
    world.time += 60 * DAYS - 1
    assert world.ask(LEDGER, "isValid", number) is True
    with pytest.raises(Reverted, match="too early"):
        world.call(ANYBODY, LEDGER, "close", number)
    world.time += 1
    assert world.ask(LEDGER, "isValid", number) is False
    world.time += 5 * DAYS
    world.call(ANYBODY, LEDGER, "close", number)
    assert world.names() == ["Released", "Closed"]
    assert (credited(world), entry(world)["status"]) == ((0, PRICE), CLOSED)


@pytest.mark.parametrize("who", [SENDER, RECEIVER])
def test_either_ends_a_backup_early(world, who):
    number = order(world)
    world.time += 30 * DAYS
    with pytest.raises(Reverted, match="only a party"):
        world.call(ANYBODY, LEDGER, "end", number)
    world.call(who, LEDGER, "end", number)
    assert credited(world) == (60 * WEI, 30 * WEI)
    for function in ("end", "close", "release"):
        with pytest.raises(Reverted, match="is closed" if function == "end" else "is not active"):
            world.call(who, LEDGER, function, number)


@pytest.mark.parametrize("who", [SENDER, RECEIVER])
def test_an_order_that_is_not_accepted_goes_back(world, who):
    number = order(world, accept=False)
    world.call(who, LEDGER, "end", number)
    assert (world.names(), credited(world)) == (["Closed"], (PRICE, 0))
    with pytest.raises(Reverted, match="is not offered"):
        world.call(RECEIVER, LEDGER, "accept", number)


def test_an_offer_lapses(world):
    number = order(world, accept=False)
    with pytest.raises(Reverted, match="only the receiver"):
        world.call(ANYBODY, LEDGER, "accept", number)
    with pytest.raises(Reverted, match="not the price"):
        world.call(RECEIVER, LEDGER, "accept", number, value=1)
    world.time += world.given.ledger[1] + 1
    with pytest.raises(Reverted, match="the offer has lapsed"):
        world.call(RECEIVER, LEDGER, "accept", number)
    with pytest.raises(Reverted, match="is not active"):
        world.call(ANYBODY, LEDGER, "close", number)
    world.call(SENDER, LEDGER, "end", number)
    assert credited(world) == (PRICE, 0)


def test_the_sender_of_a_backup_counts_its_downloads(world):
    number = order(world)
    acknowledge(world, number, 3, by="sender")
    assert entry(world)["downloads"] == 3
    assert entry(world)["earned"] == 0  # time alone pays
    with pytest.raises(Reverted, match="not signed by the reader"):
        acknowledge(world, number, 4)


# --- authorisations --------------------------------------------------------------------------------------


def test_an_authorisation_earns_by_download(world):
    number = authorise(world, accept=False)
    assert credited(world) == (0, 0)
    for value in (0, PRICE - 1, PRICE + 1):
        with pytest.raises(Reverted, match="not the price"):
            world.call(RECEIVER, LEDGER, "accept", number, value=value)
    world.call(RECEIVER, LEDGER, "accept", number, value=PRICE)
    assert (entry(world)["kind"], entry(world)["end"]) == (AUTHORISATION, world.time + 10 * DAYS)
    acknowledge(world, number, 2)
    assert (world.names(), entry(world)["earned"]) == (["Downloaded"], 20 * WEI)
    world.call(RECEIVER, LEDGER, "countDownloads", number, 3, 0, 0, 0)  # the reader's own call
    world.call(SENDER, LEDGER, "release", number)
    assert credited(world) == (30 * WEI, 0)
    for count, reason in ((3, "counted before"), (10, "more than was agreed")):
        with pytest.raises(Reverted, match=reason):
            acknowledge(world, number, count)
    with pytest.raises(Reverted, match="not signed by the reader"):
        acknowledge(world, number, 4, by="sender")
    acknowledge(world, number, 9)
    assert world.ask(LEDGER, "isValid", number) is False
    world.call(SENDER, LEDGER, "release", number)
    assert credited(world) == (PRICE, 0)


def test_the_rest_goes_back_when_an_authorisation_expires(world):
    number = authorise(world)
    world.time += 10 * DAYS
    assert world.ask(LEDGER, "isValid", number) is False
    with pytest.raises(Reverted, match="too early"):
        world.call(ANYBODY, LEDGER, "close", number)
    acknowledge(world, number, 4)  # a day for the last acknowledgement
    world.time += DAYS
    world.call(ANYBODY, LEDGER, "close", number)
    assert world.names() == ["Released", "Closed"]
    assert credited(world) == (40 * WEI, 50 * WEI)
    with pytest.raises(Reverted, match="is not active"):
        acknowledge(world, number, 5)


def test_a_reader_cannot_end_what_it_may_have_read(world):
    number = authorise(world)
    with pytest.raises(Reverted, match="only its sender before its term"):
        world.call(RECEIVER, LEDGER, "end", number)
    acknowledge(world, number, 1)
    world.call(SENDER, LEDGER, "end", number)
    assert credited(world) == (10 * WEI, 80 * WEI)


def test_a_reader_may_decline_an_offer(world):
    number = authorise(world, accept=False)
    world.call(RECEIVER, LEDGER, "end", number)
    assert (entry(world)["status"], credited(world)) == (CLOSED, (0, 0))


def test_acknowledgements_are_of_one_entry(world):
    first, second = authorise(world), authorise(world)
    signature = sign(world.spec, Downloads(first, 2), private_key("receiver"))
    parts = signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    with pytest.raises(Reverted, match="not signed by the reader"):
        world.call(ANYBODY, LEDGER, "countDownloads", second, 2, *parts)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((bytes(20), CONTENT, 1, DAYS, 1), "no receiver"),
        ((SENDER, CONTENT, 1, DAYS, 1), "no receiver"),
        ((RECEIVER, bytes(32), 1, DAYS, 1), "no content"),
        ((RECEIVER, CONTENT, 1 << 128, DAYS, 1), "price"),
        ((RECEIVER, CONTENT, 1, 59, 1), "term"),
        ((RECEIVER, CONTENT, 1, 3600 * DAYS + 1, 1), "term"),
        ((RECEIVER, CONTENT, 1, DAYS, 0), "downloads"),
        ((RECEIVER, CONTENT, 1, DAYS, 1 << 48), "downloads"),
    ],
)
def test_what_is_refused(world, arguments, reason):
    with pytest.raises(Reverted, match=reason):
        world.call(SENDER, LEDGER, "authorise", *arguments)


def test_entries_that_are_not_there(world):
    for function, arguments in (("accept", ()), ("release", ()), ("end", ()), ("close", ())):
        with pytest.raises(Reverted, match="no such entry"):
            world.call(SENDER, LEDGER, function, 1, *arguments)
    assert entry(world)["status"] == 0
    with pytest.raises(Reverted):
        world.raw(SENDER, world.where(LEDGER), b"", 1)


def test_free_content(world):
    number = world.call(SENDER, LEDGER, "authorise", RECEIVER, CONTENT, 0, DAYS, 2)
    world.call(RECEIVER, LEDGER, "accept", number)
    acknowledge(world, number, 2)
    with pytest.raises(Reverted, match="nothing is earned"):
        world.call(SENDER, LEDGER, "release", number)
    world.call(SENDER, LEDGER, "end", number)
    assert credited(world) == (0, 0)


# --- money -----------------------------------------------------------------------------------------------


def test_everybody_withdraws_for_himself(world):
    world.call(SENDER, LEDGER, "end", order(world, accept=False))
    with pytest.raises(Reverted, match="nothing is credited"):
        world.call(ANYBODY, LEDGER, "withdraw")
    before = world.balance(SENDER)
    world.call(SENDER, LEDGER, "withdraw")
    assert (world.balance(SENDER) - before, world.names()) == (PRICE, ["Withdrawn"])
    assert credited(world) == (0, 0)
    with pytest.raises(Reverted, match="nothing is credited"):
        world.call(SENDER, LEDGER, "withdraw")


def test_nobody_withdraws_twice_by_calling_back(world):
    order(world)  # somebody else's money
    world.call(ANYBODY, LEDGER, "end", world.call(ANYBODY, LEDGER, "order", RECEIVER, CONTENT, value=WEI))
    world.put_code(ANYBODY, reentering(world.where(LEDGER), selector("withdraw()")))
    world.raw(SENDER, ANYBODY, selector("withdraw()"))
    assert world.state.get_storage(ANYBODY, 0) == 1  # the call back failed
    assert world.balance(world.where(LEDGER)) == PRICE


def test_the_backup_term_is_the_orders(world):
    number = order(world, accept=False)
    world.change(LEDGER, 0, 30 * DAYS)
    world.call(RECEIVER, LEDGER, "accept", number)
    assert entry(world)["end"] == world.time + 90 * DAYS
    later = order(world)
    assert entry(world, later)["end"] == world.time + 30 * DAYS

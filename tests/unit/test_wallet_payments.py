"""The wallet on a real chain: every transaction that it makes is taken by consensus and mined."""

from hashlib import sha256

import pytest
from wallet_chain import MNEMONIC, OTHER_MNEMONIC, RATE, FakeChain, make_spec, open_wallet, sign_and_send

from ioex_chain.crypto.address import (
    InvalidAddress,
    address_to_script,
    checksum_account,
    deposit_script,
    encode_witness,
    reserve_change_script,
    script_to_address,
    witness_script,
)
from ioex_chain.crypto.hashes import hash160
from ioex_chain.crypto.secp256k1 import public_key
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.policy import fee_at
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.lock import push_number
from ioex_chain.spec.model import MAX_OUTPUT, Allocation
from ioex_chain.wallet.book import ScriptBook
from ioex_chain.wallet.coins import Status
from ioex_chain.wallet.errors import (
    DustOutput,
    InsufficientFunds,
    InvalidAmount,
    InvalidFeeRate,
    InvalidMemo,
    MixedLocks,
    NotReplaceable,
    PaymentError,
    TransactionTooBig,
)
from ioex_chain.wallet.hd import Account, MasterKey, Purpose
from ioex_chain.wallet.payment import (
    MAX_MEMO,
    Recipient,
    Spendable,
    Terms,
    compose,
    parse_amount,
    parse_recipient,
)
from ioex_chain.wallet.psbt import In, Psbt, combine
from ioex_chain.wallet.signing import KeyRing, extract_transaction, finalize_psbt, sign_psbt
from ioex_chain.wallet.utxo_wallet import UtxoWallet

TERMS = Terms(RATE)
MASTER = MasterKey.from_mnemonic(MNEMONIC)


@pytest.fixture
def chain() -> FakeChain:
    chain = FakeChain(make_spec())
    chain.mine(4)
    return chain


def stranger(name: str = "bob") -> bytes:
    return witness_script(0, hash160(name.encode()))


def to(chain: FakeChain, script: bytes, amount: int | None) -> Recipient:
    address = script_to_address(chain.builder.spec.pow.address_prefix, script)
    assert address is not None
    return parse_recipient(chain.builder.spec, address, amount)


def fund(chain: FakeChain, wallet: UtxoWallet, *values: int, account: int = 0) -> None:
    """Pay new addresses of the wallet and mine."""
    for value in values:
        address = wallet.new_address(wallet.book.accounts[account])
        chain.pay(address_to_script("riox", address), value)
    chain.mine()


# --- addresses -------------------------------------------------------------------------------------------


def test_addresses_are_bip84s_on_our_network(chain: FakeChain) -> None:
    wallet, _ = open_wallet(chain)
    first, second = wallet.new_address(), wallet.new_address()
    hard = 0x80000000
    private = MASTER.private_key((84 + hard, 1 + hard, hard, 0, 1))
    assert second == encode_witness("riox", 0, hash160(public_key(private)))
    assert first != second
    taproot = wallet.new_address(wallet.book.accounts[1])
    assert taproot.startswith("riox1p")


def test_discovery_finds_used_addresses_up_to_the_gap(chain: FakeChain) -> None:
    wallet, _ = open_wallet(chain)
    account = wallet.book.accounts[0]
    for index in (0, 19, 38, 59):  # 38 is within 20 of 19, 59 is not within 20 of 38
        chain.pay(account.script(0, index), COIN)
    chain.mine()
    again, _ = open_wallet(chain)
    again.discover()
    assert again.issued[Purpose.P2WPKH, 0] == 39
    assert again.balance().total == 3 * COIN
    remembers, _ = open_wallet(chain, issued={(Purpose.P2WPKH, 0): 40})
    remembers.discover()
    assert remembers.balance().total == 4 * COIN


def test_an_issued_address_is_not_issued_again_after_discovery(chain: FakeChain) -> None:
    wallet, _ = open_wallet(chain)
    first = wallet.new_address()
    chain.pay(address_to_script("riox", first), COIN)
    chain.mine()
    restored, _ = open_wallet(chain)
    restored.discover()
    assert restored.new_address() != first


# --- balance ---------------------------------------------------------------------------------------------


def test_balance_tells_unconfirmed_immature_and_spendable_apart(chain: FakeChain) -> None:
    wallet, _ = open_wallet(chain)
    fund(chain, wallet, 3 * COIN)
    mine = address_to_script("riox", wallet.new_address())
    chain.mine(payout=mine)
    chain.pay(address_to_script("riox", wallet.new_address()), 2 * COIN)
    balance = wallet.balance()
    assert (balance.spendable, balance.unconfirmed, balance.immature) == (3 * COIN, 2 * COIN, 4 * COIN)
    assert balance.total == 9 * COIN
    (waiting,) = balance.waiting
    assert waiting.availability.status is Status.IMMATURE
    assert waiting.availability.height == chain.tip().height + 4  # maturity 4 on this network
    chain.mine(2)
    assert wallet.balance().immature == 4 * COIN
    chain.mine(1)
    assert wallet.balance().immature == 0


def test_a_coinbase_is_spent_in_the_first_block_that_may(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    chain.mine(payout=address_to_script("riox", wallet.new_address()))
    while wallet.balance().spendable == 0:
        with pytest.raises(InsufficientFunds, match="immature"):
            wallet.prepare([to(chain, stranger(), COIN)], TERMS)
        chain.mine()
    sign_and_send(wallet, keys, wallet.prepare([to(chain, stranger(), COIN)], TERMS))
    chain.mine()


# --- payments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", [0, 1], ids=["p2wpkh", "p2tr"])
def test_pay_and_get_the_change(chain: FakeChain, account: int) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 5 * COIN, account=account)
    draft = wallet.prepare([to(chain, stranger(), 2 * COIN)], TERMS)
    tx = sign_and_send(wallet, keys, draft)
    assert draft.fee >= fee_at(RATE, tx.size)
    assert draft.fee <= fee_at(RATE, draft.size)
    assert draft.size - tx.size <= 2 * len(tx.inputs)
    chain.mine()
    wallet.discover()
    assert wallet.balance().spendable == 3 * COIN - draft.fee
    assert wallet.issued[Purpose.P2WPKH, 1] == 1


def test_several_recipients_and_a_memo(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 2 * COIN, 2 * COIN, 2 * COIN)
    recipients = [to(chain, stranger(name), COIN) for name in ("a", "b", "c", "d")]
    tx = sign_and_send(wallet, keys, wallet.prepare(recipients, Terms(RATE, memo=b"order 66")))
    assert [out.value for out in tx.outputs].count(COIN) == 4
    assert any(out.script == b"\x6a\x08order 66" for out in tx.outputs)
    chain.mine()


@pytest.mark.parametrize("size", [1, 75, 76, MAX_MEMO])
def test_memos_of_every_push_form_are_mined(chain: FakeChain, size: int) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, COIN)
    sign_and_send(wallet, keys, wallet.prepare([to(chain, stranger(), 1000)], Terms(RATE, memo=b"m" * size)))
    chain.mine()


def test_send_everything(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 2 * COIN, 3 * COIN, 100)  # 100 units are not worth their own input
    draft = wallet.prepare([to(chain, stranger(), None)], TERMS)
    tx = sign_and_send(wallet, keys, draft)
    assert len(tx.inputs) == 2
    assert [out.value for out in tx.outputs] == [5 * COIN - draft.fee]
    assert draft.fee == fee_at(RATE, draft.size)
    chain.mine()
    assert wallet.balance().total == 100


def test_a_rest_below_dust_goes_to_the_fee(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, COIN)
    draft = wallet.prepare([to(chain, stranger(), COIN - 500)], TERMS)
    assert draft.change == ()
    assert draft.fee == 500
    sign_and_send(wallet, keys, draft)
    chain.mine()


def test_an_exact_match_needs_no_change(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 7 * COIN, 2 * COIN + 800, 3 * COIN)
    draft = wallet.prepare([to(chain, stranger(), 5 * COIN)], TERMS)
    assert draft.change == ()
    assert sorted(item.coin.value for item in draft.spent) == [2 * COIN + 800, 3 * COIN]
    sign_and_send(wallet, keys, draft)
    chain.mine()


def test_confirmed_coins_and_own_change_only(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 5 * COIN)
    chain.pay(address_to_script("riox", wallet.new_address()), 50 * COIN)
    first = wallet.prepare([to(chain, stranger(), COIN)], TERMS)
    sign_and_send(wallet, keys, first)
    with pytest.raises(InsufficientFunds, match="unconfirmed"):
        wallet.prepare([to(chain, stranger(), 10 * COIN)], TERMS)
    second = sign_and_send(wallet, keys, wallet.prepare([to(chain, stranger(), COIN)], TERMS))
    assert second.inputs[0].outpoint[:32] == chain.pool[-2].txid  # our own unconfirmed change
    chain.mine()


def test_change_above_twenty_million_is_split() -> None:
    script = MASTER.account(make_spec()).script(0, 0)
    rich = [Allocation("A", MAX_OUTPUT, script, 0, "us") for _ in range(2)]
    chain = FakeChain(make_spec(*rich))
    chain.mine(4)
    wallet, keys = open_wallet(chain)
    wallet.discover()
    # more than one coin, so both are spent, and nearly all of it comes back
    draft = wallet.prepare(
        [to(chain, stranger(), COIN)], Terms(RATE), only=[item.coin.outpoint for item in wallet.coins()]
    )
    assert len(draft.spent) == 1
    both = Terms(RATE, required=tuple(_all_spendable(wallet)))
    draft = wallet.prepare([to(chain, stranger(), COIN)], both)
    assert len(draft.spent) == 2
    assert len(draft.change) == 2
    sign_and_send(wallet, keys, draft)
    chain.mine()
    assert wallet.balance().total == 2 * MAX_OUTPUT - COIN - draft.fee


def _all_spendable(wallet: UtxoWallet) -> list[Spendable]:
    return [Spendable(item.coin, item.own) for item in wallet.coins()]


def test_a_deposit_address_is_paid_and_said(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 2 * COIN)
    account = checksum_account(bytes(range(20)))
    recipient = parse_recipient(chain.builder.spec, account, COIN)
    assert account in recipient.note
    assert "nobody can take it back" in recipient.note
    by_address = parse_recipient(chain.builder.spec, encode_witness("riox", 16, recipient.script[2:]), COIN)
    assert by_address.note == recipient.note
    draft = wallet.prepare([recipient], TERMS)
    preview = wallet.preview(wallet.to_psbt(draft))
    assert [out.note for out in preview.outputs if out.note] == [f"deposit to {account} on the DPoS chain"]
    tx = sign_and_send(wallet, keys, draft)
    assert deposit_script(bytes(range(20))) in [out.script for out in tx.outputs]
    chain.mine()


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "x", "1e-9", "0.000000001", "nan", "inf", "0", "-1", "20000001", "1,5"])
def test_bad_amounts(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(text)


def test_good_amounts() -> None:
    assert [parse_amount(text) for text in ("1", "0.00000001", " 20000000 ", "1_000.5")] == [
        COIN,
        1,
        MAX_OUTPUT,
        1_000 * COIN + COIN // 2,
    ]


def test_addresses_that_must_not_be_paid(chain: FakeChain) -> None:
    spec = chain.builder.spec
    for bad in (
        encode_witness("riox", 16, reserve_change_script()[2:]),  # the reserve's own: lost for good
        encode_witness("riox", 1, bytes(20)),  # not in the closed set
        encode_witness("riox", 2, bytes(32)),
        encode_witness("bc", 0, bytes(20)),
        encode_witness("ioex", 0, bytes(20)),
        "0x" + "zz" * 20,
        "0x00",
        "",
        "riox1",
    ):
        with pytest.raises(InvalidAddress):
            parse_recipient(spec, bad, COIN)


def test_payments_that_are_not_built(chain: FakeChain) -> None:
    wallet, _ = open_wallet(chain)
    fund(chain, wallet, COIN)
    pay = to(chain, stranger(), COIN // 2)
    for recipients, terms, error in (
        ([to(chain, stranger(), 100)], TERMS, DustOutput),
        ([to(chain, stranger(), 2 * COIN)], TERMS, InsufficientFunds),
        ([to(chain, stranger(), COIN)], TERMS, InsufficientFunds),
        ([to(chain, stranger(), None), to(chain, stranger("c"), None)], TERMS, PaymentError),
        ([], TERMS, PaymentError),
        ([pay], Terms(10), InvalidFeeRate),
        ([pay], Terms(50_000_000), InvalidFeeRate),
        ([pay], Terms(RATE, memo=b"m" * (MAX_MEMO + 1)), InvalidMemo),
        ([pay], Terms(RATE, memo=b""), InvalidMemo),
    ):
        with pytest.raises(error):
            wallet.prepare(recipients, terms)


def test_too_many_coins_for_one_transaction(chain: FakeChain) -> None:
    wallet, _keys = open_wallet(chain)
    script = address_to_script("riox", wallet.new_address())
    chain.pay(script, *([COIN] * 700))
    chain.mine()
    with pytest.raises(TransactionTooBig, match="gather"):
        wallet.prepare([to(chain, stranger(), 690 * COIN)], TERMS)
    draft = wallet.prepare([to(chain, stranger(), None)], TERMS)
    assert draft.size <= 100_000
    assert "stay" in draft.notes[0]
    account = parse_recipient(chain.builder.spec, checksum_account(bytes(20)), 690 * COIN)
    with pytest.raises(TransactionTooBig):
        wallet.prepare([account], Terms(RATE))


# --- locks -----------------------------------------------------------------------------------------------


def locked_to(
    master: MasterKey, spec, *, lock: int | None = None, relative: int | None = None, key=False
) -> bytes:
    """Give a witness script that our first key opens."""
    public = master.account(spec).public_key(0, 0)
    head = b"" if lock is None else push_number(lock) + b"\xb1\x75"
    head += b"" if relative is None else push_number(relative) + b"\xb2\x75"
    return head + (b"\x21" + public + b"\xac" if key else b"\x76\xa9\x14" + hash160(public) + b"\x88\xac")


def p2wsh(hidden: bytes) -> bytes:
    return witness_script(0, sha256(hidden).digest())


@pytest.mark.parametrize("bare_key", [False, True])
def test_genesis_allocations_are_found_and_open_on_their_day(bare_key: bool) -> None:
    when = make_spec().pow.genesis_time + 1_000
    hidden = locked_to(MASTER, make_spec(), lock=when, key=bare_key)
    chain = FakeChain(make_spec(Allocation("D", 5 * COIN, p2wsh(hidden), when, "us", hidden)))
    chain.mine(4)
    wallet, keys = open_wallet(chain)
    balance = wallet.balance()
    assert (balance.locked, balance.spendable) == (5 * COIN, 0)
    assert balance.waiting[0].availability.time == when
    assert balance.waiting[0].own.label == "token plan D"
    with pytest.raises(InsufficientFunds, match="locked"):
        wallet.prepare([to(chain, stranger(), COIN)], TERMS)
    chain.mine(5, time=when)
    assert wallet.balance().locked == 5 * COIN  # the median of the last 11 is what counts
    chain.mine(2, time=when + 1)
    while wallet.balance().locked:
        chain.mine()
    assert chain.tip().median_time > when
    tx = sign_and_send(wallet, keys, wallet.prepare([to(chain, stranger(), COIN)], TERMS))
    assert tx.lock_time == when
    chain.mine()


def test_relative_and_height_locks_open_in_their_first_block(chain: FakeChain) -> None:
    spec = chain.builder.spec
    hidden = [
        locked_to(MASTER, spec, lock=12),
        locked_to(MASTER, spec, relative=3),
        locked_to(MASTER, spec, relative=1 << 22 | 1),  # 512 s
        locked_to(MASTER, spec, lock=8, relative=2),
    ]
    wallet, keys = open_wallet(chain, locks=hidden)
    for item in hidden:
        chain.pay(p2wsh(item), COIN)
    chain.mine()
    assert wallet.balance().locked == 4 * COIN
    for _ in range(12):
        for own in [item for item in wallet.coins() if item.availability.status is Status.SPENDABLE]:
            draft = wallet.prepare([to(chain, stranger(), None)], TERMS, only=[own.coin.outpoint])
            sign_and_send(wallet, keys, draft)
        waiting = {item.coin.outpoint for item in wallet.balance().waiting}
        # whatever the wallet calls locked, consensus refuses now
        for outpoint in waiting:
            _assert_refused(chain, wallet, keys, outpoint)
        chain.mine(time=chain.builder.next_time(chain.blocks[-1]) + 100)
    assert wallet.balance().locked == 0


def _assert_refused(chain: FakeChain, wallet: UtxoWallet, keys: KeyRing, outpoint: bytes) -> None:
    own = next(item for item in wallet.coins() if item.coin.outpoint == outpoint)
    draft = compose([Spendable(own.coin, own.own)], [to(chain, stranger(), None)], stranger(), TERMS)
    psbt = wallet.to_psbt(draft)
    sign_psbt(psbt, keys)
    finalize_psbt(psbt)
    with pytest.raises(TransactionError):
        chain.broadcast(extract_transaction(psbt))


def test_locks_by_height_and_by_time_do_not_mix(chain: FakeChain) -> None:
    spec = chain.builder.spec
    hidden = [locked_to(MASTER, spec, lock=1), locked_to(MASTER, spec, lock=spec.pow.genesis_time)]
    wallet, keys = open_wallet(chain, locks=hidden)
    for item in hidden:
        chain.pay(p2wsh(item), 2 * COIN)
    chain.mine(8)
    assert wallet.balance().spendable == 4 * COIN
    with pytest.raises(MixedLocks):
        wallet.prepare([to(chain, stranger(), 3 * COIN)], TERMS)
    sign_and_send(wallet, keys, wallet.prepare([to(chain, stranger(), COIN)], TERMS))
    chain.mine()


def test_a_lock_that_no_key_of_ours_opens_is_not_ours(chain: FakeChain) -> None:
    other = MasterKey.from_mnemonic(OTHER_MNEMONIC)
    wallet, _ = open_wallet(chain, locks=[locked_to(other, chain.builder.spec, lock=1), b"\x51", b""])
    assert wallet.book.locked() == {}


# --- several signers, and signing elsewhere --------------------------------------------------------------


def test_two_of_three_sign_one_psbt(chain: FakeChain) -> None:
    spec = chain.builder.spec
    words = [OTHER_MNEMONIC, MNEMONIC, "abandon " * 11 + "about"]
    publics = sorted(MasterKey.from_mnemonic(item).account(spec).public_key(0, 0) for item in words)
    hidden = b"\x52" + b"".join(b"\x21" + public for public in publics) + b"\x53\xae"
    chain.pay(p2wsh(hidden), 10 * COIN)
    chain.mine()
    wallets = [open_wallet(chain, item, locks=[hidden]) for item in words]
    first, _keys = wallets[0]
    balance = first.balance()
    assert (balance.shared, balance.spendable) == (10 * COIN, 0)
    outpoint = first.coins()[0].coin.outpoint
    draft = first.prepare([to(chain, stranger(), 4 * COIN)], TERMS, only=[outpoint])
    prepared = first.to_psbt(draft).encode()
    signed = []
    for wallet, ring in wallets:
        psbt = Psbt.decode(prepared)
        wallet.annotate(psbt)
        assert wallet.preview(psbt).ours == 1
        assert sign_psbt(psbt, ring) == 1
        assert finalize_psbt(psbt) == 1
        signed.append(Psbt.decode(psbt.encode()))
    for pair in ((0, 1), (1, 2), (2, 0), (0, 1, 2)):
        merged = combine([signed[n] for n in pair])
        assert finalize_psbt(merged) == 0
        final = extract_transaction(merged)
    assert first.broadcast(final)
    chain.mine()


def test_watch_only_prepares_and_a_machine_without_network_signs(chain: FakeChain) -> None:
    spec = chain.builder.spec
    full, _keys = open_wallet(chain)
    exported = full.book.accounts[0].export(main=False)
    assert exported.startswith("vpub")
    watching = UtxoWallet(spec, chain, ScriptBook(spec, [Account.parse(exported)]))
    fund(chain, watching, 5 * COIN)
    assert watching.balance().spendable == 5 * COIN
    text = watching.to_psbt(watching.prepare([to(chain, stranger(), COIN)], TERMS)).to_base64()

    class NoNetwork:
        def __getattr__(self, name: str):
            raise AssertionError("the signing machine asked the network")

    offline, offline_keys = open_wallet(chain)
    offline.chain = NoNetwork()  # type: ignore[assignment]
    psbt = Psbt.parse(text)
    offline.annotate(psbt)
    preview = offline.preview(psbt)
    assert (preview.ours, preview.inputs) == (1, 1)
    assert [out.is_change for out in preview.outputs].count(True) == 1
    assert sign_psbt(psbt, offline_keys) == 1
    finalize_psbt(psbt)
    watching.broadcast(extract_transaction(Psbt.parse(psbt.to_base64())))
    chain.mine()


def test_imported_keys_are_paid_and_spent(chain: FakeChain) -> None:
    private = sha256(b"a raw key").digest()
    spec = chain.builder.spec
    wallet = UtxoWallet(spec, chain, ScriptBook(spec, [], imported=[public_key(private)]))
    script = witness_script(0, hash160(public_key(private)))
    chain.pay(script, 2 * COIN)
    chain.mine()
    tx = sign_and_send(
        wallet, KeyRing(imported=[private]), wallet.prepare([to(chain, stranger(), COIN)], TERMS)
    )
    assert script in [out.script for out in tx.outputs]  # change comes back to the one key there is
    chain.mine()
    with pytest.raises(PaymentError, match="imported keys only"):
        wallet.new_address()


# --- replacement -----------------------------------------------------------------------------------------


def test_a_fee_is_raised(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 2 * COIN, 3 * COIN)
    old = wallet.prepare([to(chain, stranger(), COIN)], Terms(1_000, memo=b"keep me"))
    sent = sign_and_send(wallet, keys, old)
    new = wallet.bump(sent.txid, 5_000)
    tx = sign_and_send(wallet, keys, new)
    assert chain.pool == [tx]
    assert new.fee >= old.fee + tx.size
    assert {out.script for out in tx.outputs} >= {stranger(), b"\x6a\x07keep me"}
    chain.mine()
    with pytest.raises(NotReplaceable, match="confirmed"):
        wallet.bump(tx.txid, 9_000)


def test_a_bump_without_change_adds_a_coin(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, COIN, 3 * COIN)
    sent = sign_and_send(wallet, keys, wallet.prepare([to(chain, stranger(), COIN - 400)], Terms(1_000)))
    assert len(sent.outputs) == 1
    tx = sign_and_send(wallet, keys, wallet.bump(sent.txid, 5_000))
    assert len(tx.inputs) == 2
    chain.mine()


def test_what_cannot_be_replaced(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 2 * COIN)
    final = sign_and_send(wallet, keys, wallet.prepare([to(chain, stranger(), COIN)], Terms(RATE, False)))
    with pytest.raises(NotReplaceable, match="final"):
        wallet.bump(final.txid, 9_000)
    foreign = chain.pay(stranger(), COIN)
    with pytest.raises(NotReplaceable, match="not this wallet's"):
        wallet.bump(foreign.txid, 9_000)


# --- history ---------------------------------------------------------------------------------------------


def test_history_says_what_happened(chain: FakeChain) -> None:
    wallet, keys = open_wallet(chain)
    fund(chain, wallet, 5 * COIN)
    chain.mine(payout=address_to_script("riox", wallet.new_address()))
    draft = wallet.prepare([to(chain, stranger(), COIN)], TERMS)
    sign_and_send(wallet, keys, draft)
    pending, mined, received = wallet.history()
    assert (pending.kind, pending.amount, pending.fee, pending.confirmations) == (
        "sent",
        -COIN - draft.fee,
        draft.fee,
        0,
    )
    assert pending.addresses == (wallet.address(stranger()),)
    assert (mined.kind, mined.amount, mined.fee, mined.confirmations) == ("mined", 4 * COIN, None, 1)
    assert (received.kind, received.amount, received.fee, received.confirmations) == (
        "received",
        5 * COIN,
        None,
        2,
    )
    chain.mine()
    assert [item.confirmations for item in wallet.history()] == [1, 2, 3]
    assert sum(item.amount for item in wallet.history()) == wallet.balance().total


def test_p2wpkh_inputs_carry_their_whole_transaction(chain: FakeChain) -> None:
    wallet, _ = open_wallet(chain)
    fund(chain, wallet, COIN)
    psbt = wallet.to_psbt(wallet.prepare([to(chain, stranger(), 1_000)], TERMS))
    assert psbt.inputs[0].get(In.PREVIOUS_TX)

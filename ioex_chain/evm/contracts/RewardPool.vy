# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title RewardPool
@license MIT
@notice Pays the arbitrators out of what it has received, and never more (docs/protocol.md section 5).
@dev Income comes as plain credits that call nobody, so it is computed: balance + paid.
     Rewards stand in one line, term after term. Income fills the line from its start: the oldest debt is
     paid first. Inside a term that is filled in part, all keys get the same share.
     What a key forfeits leaves the line, and everything behind it moves up.
"""

interface ArbitratorRegistry:
    def payoutOf(key: address) -> address: view


event Claimed:
    key: indexed(address)
    term: indexed(uint256)
    payout: indexed(address)
    amount: uint256


event Forfeited:
    key: indexed(address)
    term: indexed(uint256)
    amount: uint256


event Barred:
    key: indexed(address)


SYSTEM: constant(address) = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE
MAX_TERMS: constant(uint256) = 64
BITS: constant(uint256) = 96
AMOUNT: constant(uint256) = (1 << 96) - 1
PAID: constant(uint256) = 128
HALF: constant(uint256) = (1 << 128) - 1

registry: public(address)
open: uint256  # of the newest term: number << 192 | start << 96 | accrued
previousTerm: public(uint256)  # the newest closed one that had a block
linePaid: uint256  # paid out of what still stands in the line
claimedTotal: public(uint256)
forfeitedTotal: public(uint256)
barred: public(HashMap[address, bool])
terms: HashMap[uint256, uint256]  # of closed terms: start << 96 | accrued
earned: HashMap[address, HashMap[uint256, uint256]]  # by key and term: paid << 128 | accrued


@external
@payable
def __default__():
    """
    @notice Income may also be sent.
    """
    pass


# --- the protocol ----------------------------------------------------------------------------------------


@external
def accrue(key: address, term: uint256, amount: uint256):
    """
    @notice Add the reward of a block that `key` produced. Terms never fall. A barred key earns nothing.
    """
    assert msg.sender == SYSTEM, "only the protocol"
    packed: uint256 = self.open
    if packed >> 192 != term:
        packed = self._close(packed, term)
    if not self.barred[key]:
        assert amount + (packed & AMOUNT) <= AMOUNT, "amount"
        packed += amount
        self.earned[key][term] += amount
    self.open = packed


@internal
def _close(packed: uint256, term: uint256) -> uint256:
    closed: uint256 = packed >> 192
    assert term > closed and term < 1 << 64, "term"
    self.terms[closed] = packed & ((1 << 192) - 1)
    self.previousTerm = closed
    start: uint256 = ((packed >> BITS) & AMOUNT) + (packed & AMOUNT)
    assert start <= AMOUNT, "amount"
    return (term << 192) | (start << BITS)


@external
def forfeit(key: address):
    """
    @notice Stop a key's rewards, and drop the unclaimed ones of the newest term and of the term before it.
    """
    assert msg.sender == self.registry, "only the registry"
    self.barred[key] = True
    log Barred(key=key)
    packed: uint256 = self.open
    term: uint256 = packed >> 192
    packed -= self._drop(key, term)
    before: uint256 = self.previousTerm
    if before != term:
        accrued: uint256 = self._drop(key, before)
        self.terms[before] -= accrued
        packed -= accrued << BITS
    self.open = packed


@internal
def _drop(key: address, term: uint256) -> uint256:
    entry: uint256 = self.earned[key][term]
    accrued: uint256 = entry & HALF
    paid: uint256 = entry >> PAID
    if accrued == paid:
        return 0
    self.earned[key][term] = 0
    self.linePaid -= paid
    self.forfeitedTotal += accrued - paid
    log Forfeited(key=key, term=term, amount=accrued - paid)
    return accrued


# --- claims ----------------------------------------------------------------------------------------------


@external
@nonreentrant
def claim(key: address, terms: DynArray[uint256, MAX_TERMS]) -> uint256:
    """
    @notice Pay what is due to a key for these closed terms to its partner's payout address. Anybody may ask.
    """
    payout: address = staticcall ArbitratorRegistry(self.registry).payoutOf(key)
    assert payout != empty(address), "unknown key"
    total: uint256 = 0
    income: uint256 = self.balance + self.linePaid
    for term: uint256 in terms:
        amount: uint256 = self._due(key, term, income)
        if amount != 0:
            self.earned[key][term] += amount << PAID
            total += amount
            log Claimed(key=key, term=term, payout=payout, amount=amount)
    assert total != 0, "nothing is due"
    self.linePaid += total
    self.claimedTotal += total
    raw_call(payout, b"", value=total)
    return total


@internal
@view
def _due(key: address, term: uint256, income: uint256) -> uint256:
    if term >= self.open >> 192:
        return 0
    entry: uint256 = self.earned[key][term]
    accrued: uint256 = entry & HALF
    if accrued == 0:
        return 0
    line: uint256 = self.terms[term]
    all: uint256 = line & AMOUNT
    start: uint256 = line >> BITS
    share: uint256 = 0
    if income >= start + all:
        share = accrued
    elif income > start:
        share = accrued * (income - start) // all
    paid: uint256 = entry >> PAID
    return share - paid if share > paid else 0


# --- views -----------------------------------------------------------------------------------------------


@external
@view
def claimable(key: address, term: uint256) -> uint256:
    """
    @notice What `claim` would pay a key for a term now.
    """
    return self._due(key, term, self.balance + self.linePaid)


@external
@view
def rewards(key: address, term: uint256) -> (uint256, uint256):
    """
    @notice What a key earned in a term, and how much of it is paid.
    """
    entry: uint256 = self.earned[key][term]
    return entry & HALF, entry >> PAID


@external
@view
def openTerm() -> uint256:
    """
    @notice The newest term with a block; all before it can be claimed.
    """
    return self.open >> 192


@external
@view
def termLine(term: uint256) -> (uint256, uint256):
    """
    @notice Where a term begins in the line, and what was earned in it.
    """
    packed: uint256 = self.open
    if term != packed >> 192:
        packed = self.terms[term]
    return (packed >> BITS) & AMOUNT, packed & AMOUNT


@internal
@view
def _line() -> uint256:
    packed: uint256 = self.open
    return ((packed >> BITS) & AMOUNT) + (packed & AMOUNT)


@external
@view
def unclaimed() -> uint256:
    """
    @notice Earned, neither paid nor forfeited.
    """
    return self._line() - self.linePaid


@external
@view
def accruedTotal() -> uint256:
    """
    @notice All that was ever earned: claimed, forfeited and unclaimed.
    """
    return self._line() - self.linePaid + self.claimedTotal + self.forfeitedTotal


@external
@view
def incomeTotal() -> uint256:
    """
    @notice All that ever came in.
    """
    return self.balance + self.claimedTotal


@external
@view
def debt() -> uint256:
    """
    @notice How much of what is unclaimed the pool does not have.
    """
    owed: uint256 = self._line() - self.linePaid
    return owed - self.balance if owed > self.balance else 0

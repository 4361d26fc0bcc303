# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title ArbitratorRegistry
@license MIT
@notice Who may hold a seat of the DPoS chain (docs/protocol.md section 5).
@dev The owner admits partners. Each partner has an operator account, which registers a signing key and a
     payout address. Anybody locks native IOEX as votes for a partner. Nodes read the ranking straight from
     this storage: fields may not move. System calls (from SYSTEM) tell who produced, who missed its slot
     and who signed twice.
"""

interface RewardPool:
    def forfeit(key: address): nonpayable

interface NodeRegistry:
    def bootstrapNodes(owner: address) -> uint256: view


flag Status:
    ADMITTED  # 1: by the owner
    STANDBY   # 2: no seat wanted, by the operator's word or after too many misses in a row
    JAILED    # 4: by evidence
    NODE      # 8: its operator has a bootstrap node


struct Partner:
    operator: address
    key: address
    payout: address
    votes: uint256
    status: Status
    counters: uint256  # produced | missed << 64 | missed in a row << 128
    releaseTime: uint256
    name: bytes32


struct Unlock:
    amount: uint256
    time: uint256


event Admitted:
    partner: indexed(uint256)
    operator: indexed(address)
    name: bytes32


event Removed:
    partner: indexed(uint256)


event KeySet:
    partner: indexed(uint256)
    key: indexed(address)


event PayoutSet:
    partner: indexed(uint256)
    payout: indexed(address)


event OperatorSet:
    partner: indexed(uint256)
    operator: indexed(address)


event StandbySet:
    partner: indexed(uint256)
    standby: bool


event NodeSet:
    partner: indexed(uint256)
    present: bool


event Jailed:
    partner: indexed(uint256)
    key: indexed(address)
    kind: uint256
    height: uint256
    releaseTime: uint256


event Released:
    partner: indexed(uint256)


event Voted:
    partner: indexed(uint256)
    voter: indexed(address)
    amount: uint256


event Unvoted:
    partner: indexed(uint256)
    voter: indexed(address)
    amount: uint256
    time: uint256


event Moved:
    source: indexed(uint256)
    target: indexed(uint256)
    voter: indexed(address)
    amount: uint256


event Withdrawn:
    voter: indexed(address)
    amount: uint256


event ParametersSet:
    unlockPeriod: uint256
    jailPeriod: uint256
    missLimit: uint256


event OwnershipOffered:
    owner: indexed(address)


event OwnershipTaken:
    owner: indexed(address)


SYSTEM: constant(address) = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE
MAX_PARTNERS: constant(uint256) = 512
MAX_MISSED: constant(uint256) = 64
MAX_WITHDRAWALS: constant(uint256) = 32
MAX_NAME: constant(uint256) = 32
KEY_DOMAIN: constant(bytes32) = keccak256("ioeX/key/v1")

# What the owner may choose.
MIN_UNLOCK_PERIOD: constant(uint256) = 60
MAX_UNLOCK_PERIOD: constant(uint256) = 90 * 86400
MAX_JAIL_PERIOD: constant(uint256) = 360 * 86400
MIN_MISS_LIMIT: constant(uint256) = 16
MAX_MISS_LIMIT: constant(uint256) = 100000

PRODUCED: constant(uint256) = 1
MISSED: constant(uint256) = 1 << 64
IN_A_ROW: constant(uint256) = 1 << 128
COUNTER: constant(uint256) = (1 << 64) - 1
TOTALS: constant(uint256) = (1 << 128) - 1

owner: public(address)
pendingOwner: public(address)
rewardPool: public(address)
nodeRegistry: public(address)
unlockPeriod: public(uint256)
jailPeriod: public(uint256)
missLimit: public(uint256)
version: public(uint256)  # rises with everything that may change the ranking
partnerCount: public(uint256)
totalVotes: public(uint256)
totalUnlocking: public(uint256)
partners: public(Partner[MAX_PARTNERS + 1])  # by number, from 1, in the order of admission
partnerOf: public(HashMap[address, uint256])  # every key that a partner ever had
partnerByOperator: public(HashMap[address, uint256])
burned: public(HashMap[address, bool])  # keys with accepted evidence
votes: public(HashMap[address, HashMap[uint256, uint256]])
unlocks: public(HashMap[address, HashMap[uint256, Unlock]])
firstUnlock: public(HashMap[address, uint256])
unlockCount: public(HashMap[address, uint256])


# --- the owner -------------------------------------------------------------------------------------------


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "only the owner"


@internal
@view
def _check_known(partner: uint256):
    assert partner != 0 and partner <= self.partnerCount, "no such partner"


@external
def admit(operator: address, name: bytes32) -> uint256:
    """
    @notice Admit a partner. It takes part in the ranking once its operator has registered.
    """
    self._check_owner()
    assert operator != empty(address), "no operator"
    assert self.partnerByOperator[operator] == 0, "operates a partner already"
    partner: uint256 = self.partnerCount + 1
    assert partner <= MAX_PARTNERS, "too many partners"
    self.partnerCount = partner
    self.partnerByOperator[operator] = partner
    self.partners[partner].operator = operator
    self.partners[partner].status = Status.ADMITTED
    self.partners[partner].name = name
    self.version += 1
    log Admitted(partner=partner, operator=operator, name=name)
    return partner


@external
def readmit(partner: uint256):
    """
    @notice Admit a removed partner again, in its old place.
    """
    self._check_owner()
    self._check_known(partner)
    assert not (Status.ADMITTED in self.partners[partner].status), "is admitted"
    self.partners[partner].status |= Status.ADMITTED
    self.version += 1
    log Admitted(
        partner=partner, operator=self.partners[partner].operator, name=self.partners[partner].name
    )


@external
def remove(partner: uint256):
    """
    @notice Take the admission back. Votes stay with their voters, who can unlock them.
    """
    self._check_owner()
    self._check_known(partner)
    assert Status.ADMITTED in self.partners[partner].status, "is not admitted"
    self.partners[partner].status &= ~Status.ADMITTED
    self.version += 1
    log Removed(partner=partner)


@external
def release(partner: uint256):
    """
    @notice Let a partner out of jail once its time has come. It needs a new key before it ranks again.
    """
    self._check_owner()
    self._check_known(partner)
    assert Status.JAILED in self.partners[partner].status, "is not in jail"
    assert block.timestamp >= self.partners[partner].releaseTime, "too early"
    self.partners[partner].status &= ~Status.JAILED
    self.version += 1
    log Released(partner=partner)


@external
def setParameters(unlockPeriod: uint256, jailPeriod: uint256, missLimit: uint256):
    """
    @notice Change the rules within limits (seconds, seconds, slots). What is unlocking keeps its time.
    """
    self._check_owner()
    assert unlockPeriod >= MIN_UNLOCK_PERIOD and unlockPeriod <= MAX_UNLOCK_PERIOD, "unlock period"
    assert jailPeriod <= MAX_JAIL_PERIOD, "jail period"
    assert missLimit >= MIN_MISS_LIMIT and missLimit <= MAX_MISS_LIMIT, "miss limit"
    self.unlockPeriod = unlockPeriod
    self.jailPeriod = jailPeriod
    self.missLimit = missLimit
    log ParametersSet(unlockPeriod=unlockPeriod, jailPeriod=jailPeriod, missLimit=missLimit)


@external
def transferOwnership(owner: address):
    """
    @notice Offer the ownership; the new owner takes it by `acceptOwnership`.
    """
    self._check_owner()
    self.pendingOwner = owner
    log OwnershipOffered(owner=owner)


@external
def acceptOwnership():
    """
    @notice Take an offered ownership.
    """
    assert msg.sender == self.pendingOwner, "not offered"
    self.owner = msg.sender
    self.pendingOwner = empty(address)
    log OwnershipTaken(owner=msg.sender)


# --- a partner's operator --------------------------------------------------------------------------------


@internal
@view
def _own(operator: address) -> uint256:
    partner: uint256 = self.partnerByOperator[operator]
    assert partner != 0, "only a partner's operator"
    return partner


@internal
def _set_key(partner: uint256, key: address, v: uint256, r: uint256, s: uint256):
    assert key != empty(address), "no key"
    assert self.partnerOf[key] == 0, "key was used before"
    assert ecrecover(self._key_digest(self.partners[partner].operator), v, r, s) == key, "not signed by the key"
    self.partnerOf[key] = partner
    self.partners[partner].key = key
    self.version += 1
    log KeySet(partner=partner, key=key)


@internal
def _set_payout(partner: uint256, payout: address):
    assert payout != empty(address), "no payout"
    self.partners[partner].payout = payout
    self.version += 1
    log PayoutSet(partner=partner, payout=payout)


@internal
@view
def _key_digest(operator: address) -> bytes32:
    return keccak256(abi_encode(KEY_DOMAIN, chain.id, self, operator))


@external
def register(key: address, payout: address, v: uint256, r: uint256, s: uint256):
    """
    @notice Give signing key and payout address at once. The key signs `keyDigest(operator)`.
    """
    partner: uint256 = self._own(msg.sender)
    self._set_key(partner, key, v, r, s)
    self._set_payout(partner, payout)


@external
def setKey(key: address, v: uint256, r: uint256, s: uint256):
    """
    @notice Change the signing key. Sets that were read before keep the old one; no key serves twice.
    """
    self._set_key(self._own(msg.sender), key, v, r, s)


@external
def setPayout(payout: address):
    """
    @notice Change where fees and rewards go: fees from the next set read on, rewards at once.
    """
    self._set_payout(self._own(msg.sender), payout)


@external
def setStandby(standby: bool):
    """
    @notice Leave the ranking, or come back to it.
    """
    partner: uint256 = self._own(msg.sender)
    if standby:
        self.partners[partner].status |= Status.STANDBY
    else:
        self.partners[partner].status &= ~Status.STANDBY
        self.partners[partner].counters &= TOTALS
    self.version += 1
    log StandbySet(partner=partner, standby=standby)


@external
def setOperator(operator: address):
    """
    @notice Hand the partner to another account. Not even the owner can do this for an operator.
    """
    partner: uint256 = self._own(msg.sender)
    assert operator != empty(address), "no operator"
    assert self.partnerByOperator[operator] == 0, "operates a partner already"
    self.partnerByOperator[msg.sender] = 0
    self.partnerByOperator[operator] = partner
    self.partners[partner].operator = operator
    log OperatorSet(partner=partner, operator=operator)
    self._refresh_node(partner)


@external
def refreshNode(partner: uint256):
    """
    @notice Look up whether the operator has a bootstrap node. Anybody may ask.
    """
    self._check_known(partner)
    self._refresh_node(partner)


@internal
def _refresh_node(partner: uint256):
    present: bool = False
    if self.nodeRegistry.codesize != 0:
        nodes: uint256 = staticcall NodeRegistry(self.nodeRegistry).bootstrapNodes(
            self.partners[partner].operator
        )
        present = nodes != 0
    if present == (Status.NODE in self.partners[partner].status):
        return
    self.partners[partner].status ^= Status.NODE
    self.version += 1
    log NodeSet(partner=partner, present=present)


# --- voters ----------------------------------------------------------------------------------------------


@internal
def _add_votes(voter: address, partner: uint256, amount: uint256):
    self._check_known(partner)
    assert amount != 0, "no amount"
    self.votes[voter][partner] += amount
    self.partners[partner].votes += amount
    self.version += 1


@internal
def _take_votes(voter: address, partner: uint256, amount: uint256):
    assert amount != 0, "no amount"
    assert self.votes[voter][partner] >= amount, "more than was voted"
    self.votes[voter][partner] -= amount
    self.partners[partner].votes -= amount
    self.version += 1


@external
@payable
@nonreentrant
def vote(partner: uint256):
    """
    @notice Lock the sent IOEX as votes for an admitted partner.
    """
    self._add_votes(msg.sender, partner, msg.value)
    assert Status.ADMITTED in self.partners[partner].status, "is not admitted"
    self.totalVotes += msg.value
    log Voted(partner=partner, voter=msg.sender, amount=msg.value)


@external
@nonreentrant
def move(source: uint256, target: uint256, amount: uint256):
    """
    @notice Give votes to another admitted partner, without unlocking them.
    """
    self._take_votes(msg.sender, source, amount)
    self._add_votes(msg.sender, target, amount)
    assert Status.ADMITTED in self.partners[target].status, "is not admitted"
    log Moved(source=source, target=target, voter=msg.sender, amount=amount)


@external
@nonreentrant
def unvote(partner: uint256, amount: uint256):
    """
    @notice Take votes back: they count no more at once, and can be withdrawn after the unlock period.
    """
    self._take_votes(msg.sender, partner, amount)
    self.totalVotes -= amount
    self.totalUnlocking += amount
    time: uint256 = block.timestamp + self.unlockPeriod
    number: uint256 = self.unlockCount[msg.sender]
    self.unlocks[msg.sender][number] = Unlock(amount=amount, time=time)
    self.unlockCount[msg.sender] = number + 1
    log Unvoted(partner=partner, voter=msg.sender, amount=amount, time=time)


@external
@nonreentrant
def withdraw() -> uint256:
    """
    @notice Pay out what has unlocked, oldest first, at most 32 parts at a time.
    """
    first: uint256 = self.firstUnlock[msg.sender]
    count: uint256 = self.unlockCount[msg.sender]
    amount: uint256 = 0
    for _: uint256 in range(MAX_WITHDRAWALS):
        if first == count or self.unlocks[msg.sender][first].time > block.timestamp:
            break
        amount += self.unlocks[msg.sender][first].amount
        self.unlocks[msg.sender][first] = empty(Unlock)
        first += 1
    assert amount != 0, "nothing has unlocked"
    self.firstUnlock[msg.sender] = first
    self.totalUnlocking -= amount
    log Withdrawn(voter=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)
    return amount


# --- the protocol ----------------------------------------------------------------------------------------


@external
def onBlock(key: address, missed: DynArray[address, MAX_MISSED]):
    """
    @notice Count a block of `key` and the slots before it that their keys missed. Unknown keys count nothing.
    @dev Too many misses in a row put a partner on standby: no punishment, its operator ends it by itself.
         Whoever produces this block is back, however long it was away.
    """
    assert msg.sender == SYSTEM, "only the protocol"
    partner: uint256 = 0
    for absent: address in missed:
        partner = self.partnerOf[absent]
        if partner == 0:
            continue
        counters: uint256 = self.partners[partner].counters + MISSED + IN_A_ROW
        self.partners[partner].counters = counters
        if (
            counters >> 128 >= self.missLimit
            and absent != key
            and not (Status.STANDBY in self.partners[partner].status)
        ):
            self.partners[partner].status |= Status.STANDBY
            self.version += 1
            log StandbySet(partner=partner, standby=True)
    partner = self.partnerOf[key]
    if partner != 0:
        self.partners[partner].counters = (self.partners[partner].counters & TOTALS) + PRODUCED


@external
def onEvidence(key: address, kind: uint256, height: uint256):
    """
    @notice Jail the partner whose key signed twice. Once per key, however often it did.
    @param kind 0 two seals of one slot, 1 two votes of one height, 2 a vote around another
    @param height The slot's start time for seals, the target height for votes
    """
    assert msg.sender == SYSTEM, "only the protocol"
    partner: uint256 = self.partnerOf[key]
    assert partner != 0, "unknown key"
    assert not self.burned[key], "known evidence"
    self.burned[key] = True
    self.partners[partner].status |= Status.JAILED
    if self.partners[partner].key == key:
        self.partners[partner].key = empty(address)
    time: uint256 = block.timestamp + self.jailPeriod
    self.partners[partner].releaseTime = time
    self.version += 1
    log Jailed(partner=partner, key=key, kind=kind, height=height, releaseTime=time)
    extcall RewardPool(self.rewardPool).forfeit(key)


# --- views -----------------------------------------------------------------------------------------------


@external
@view
def keyDigest(operator: address) -> bytes32:
    """
    @notice What a new key signs to show that it agrees: keccak256(abi(domain, chain id, this contract, operator)).
    """
    return self._key_digest(operator)


@external
@view
def payoutOf(key: address) -> address:
    """
    @notice Where the rewards of a present or former key go; zero when nobody had it.
    """
    return self.partners[self.partnerOf[key]].payout


@external
@view
def counters(partner: uint256) -> (uint256, uint256, uint256):
    """
    @notice Blocks produced, slots missed, slots missed in a row.
    """
    packed: uint256 = self.partners[partner].counters
    return packed & COUNTER, (packed >> 64) & COUNTER, packed >> 128


@external
@view
def isEligible(partner: uint256) -> bool:
    """
    @notice Whether a partner takes part in the ranking, as nodes read it.
    """
    found: Partner = self.partners[partner]
    if found.status & (Status.ADMITTED | Status.STANDBY | Status.JAILED) != Status.ADMITTED:
        return False
    if self.nodeRegistry.codesize != 0 and not (Status.NODE in found.status):
        return False
    return found.key != empty(address) and found.payout != empty(address)

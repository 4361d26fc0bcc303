# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title Bridge
@license MIT
@notice Takes coins over from the PoW chain and gives them back (docs/protocol.md section 6.1).
@dev In: rewards and proven deposits stand in a queue of credits; each block's withdrawals (EIP-4895) are its
     head. Out: withdrawals and handovers of the arbitrators' set are numbered requests under a running
     accumulator, which a settlement on the PoW chain proves. Nodes read all of it straight from this storage:
     fields may not move. Coins that were withdrawn or retired stay here for ever: nothing here sends any.
     Every check is made in the function that credits or queues, from the light client's state at that moment.
"""

interface PowLightClient:
    def verifyInclusion(
        header: Bytes[80], leaf: bytes32, index: uint256, branch: DynArray[bytes32, 14]
    ) -> uint256: view
    def buriedHeight() -> uint256: view
    def deepReorgs() -> uint256: view


event DepositCredited:
    id: indexed(bytes32)
    account: indexed(address)
    txid: bytes32
    vout: uint256
    amount: uint256  # gwei
    queueIndex: uint256


event RewardsCounted:
    firstHeight: uint256
    lastHeight: uint256
    queueIndex: uint256


event WithdrawalRequested:
    number: indexed(uint256)
    sender: indexed(address)
    units: uint256
    script: Bytes[34]


event HandoverRequested:
    number: indexed(uint256)
    setNumber: indexed(uint256)


event Retired:
    sender: indexed(address)
    amount: uint256


event Paused:
    door: indexed(uint256)


event Resumed:
    door: indexed(uint256)


event DeepReorganisation:
    count: uint256


event DeepReorganisationAcknowledged:
    count: uint256


event CapAnnounced:
    cap: uint256
    time: uint256


event CapSet:
    cap: uint256


event OwnershipOffered:
    owner: indexed(address)


event OwnershipTaken:
    owner: indexed(address)


SYSTEM: constant(address) = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE
WEI_PER_UNIT: constant(uint256) = 10**10
GWEI_PER_UNIT: constant(uint256) = 10
MAX_OUTPUT: constant(uint256) = 20_000_000 * 10**8  # PoW units: no single output may hold more
MAX_RAW: constant(uint256) = 32768
MIN_RAW: constant(uint256) = 94  # one input without a script, one deposit output
MAX_INPUTS: constant(uint256) = MAX_RAW // 41
MAX_OUTPUTS: constant(uint256) = MAX_RAW // 9
MAX_DEPTH: constant(uint256) = 14
MAX_MEMBERS: constant(uint256) = 64
MAX_HANDOVER: constant(uint256) = 17 + 20 * MAX_MEMBERS
MAX_HEIGHTS: constant(uint256) = 512  # rewarded in one block
MAX_QUEUED: constant(uint256) = 1024  # credits (64 blocks) behind which only payloads may queue more
REWARD_GWEI: constant(uint256) = 20 * 10**9
DAY: constant(uint256) = 86400

INWARD: constant(uint256) = 0
OUTWARD: constant(uint256) = 1
REWARD: constant(uint256) = 0
DEPOSIT: constant(uint256) = 1

BY_OWNER: constant(uint256) = 1
BY_DEEP_REORGANISATION: constant(uint256) = 2
BY_STALL: constant(uint256) = 4

P2WPKH: constant(uint256) = 0
P2WSH: constant(uint256) = 1
P2TR: constant(uint256) = 2
HANDOVER: constant(uint256) = 3

WORD: constant(uint256) = (1 << 64) - 1
SLOT: constant(uint256) = (1 << 48) - 1
HALF: constant(uint256) = (1 << 128) - 1

# Parameters, from genesis. Only the cap and the owner ever change.
lightClient: public(address)
rewardPool: public(address)
owner: public(address)
pendingOwner: public(address)
minWithdrawal: public(uint256)  # PoW units
maxWaiting: public(uint256)  # requests that finality has not been seen to pass
maxRequests: public(uint256)  # drained by one block that requests no handover
stallSlots: public(uint256)
ownerDelay: public(uint256)  # seconds
dailyCap: public(uint256)  # PoW units
pendingCap: public(uint256)
pendingCapTime: public(uint256)  # 0: none announced

# In.
creditQueue: uint256  # head | tail << 64
creditedTotals: uint256  # gwei of rewards | gwei of deposits << 128
credits: HashMap[uint256, uint256]  # by queue index: account | gwei << 160 | kind << 224
creditOf: HashMap[bytes32, uint256]  # by outpoint: queue index + 1
counted: public(uint256)  # the highest rewarded height
deepSeen: public(uint256)  # deep reorganisations, as of the last block
deepAcknowledged: public(uint256)

# Out.
requestQueue: uint256  # queued | drained << 64 | drained before this block << 128 | withdrawals << 192
finality: uint256  # slot | final slot << 48 | mark's slot << 96 | drained at the mark << 144 | passed << 192
outflow: uint256  # day << 128 | PoW units withdrawn on it
requestedUnits: public(uint256)
retiredTotal: public(uint256)  # wei
lastSet: public(uint256)
lastHandover: public(uint256)  # its request's number
ownerPaused: uint256  # bit of a door
requestHeads: HashMap[uint256, uint256]  # by number: form << 248 | PoW units, or set number
requestPrograms: HashMap[uint256, bytes32]  # of withdrawals; 20-byte ones begin the word
requestMembers: HashMap[uint256, DynArray[address, MAX_MEMBERS]]  # of handovers
accumulators: HashMap[uint256, bytes32]


# --- doors -----------------------------------------------------------------------------------------------


@internal
@view
def _reasons(door: uint256) -> uint256:
    reasons: uint256 = (self.ownerPaused >> door) & 1
    if staticcall PowLightClient(self.lightClient).deepReorgs() > self.deepAcknowledged:
        reasons |= BY_DEEP_REORGANISATION
    if door == OUTWARD:
        finality: uint256 = self.finality
        if (finality & SLOT) - ((finality >> 48) & SLOT) >= self.stallSlots:
            reasons |= BY_STALL
    return reasons


@internal
@view
def _check_open(door: uint256):
    reasons: uint256 = self._reasons(door)
    assert reasons & BY_OWNER == 0, "paused by the owner"
    assert reasons & BY_DEEP_REORGANISATION == 0, "paused by a deep reorganisation"
    assert reasons & BY_STALL == 0, "paused while finality stalls"


# --- the protocol ----------------------------------------------------------------------------------------


@external
def onBlock(taken: uint256, slot: uint256, finalSlot: uint256):
    """
    @notice Close a block: take the paid credits off the queue, count rewards, drain requests, note finality.
    @param taken Withdrawals (EIP-4895) that the block carries: the head of the queue
    @param slot The block's slot
    @param finalSlot The slot of the block that this one records as final
    """
    assert msg.sender == SYSTEM, "only the protocol"
    queue: uint256 = self.creditQueue
    assert taken <= (queue >> 64) - (queue & WORD), "more than is queued"
    if taken != 0:
        self.creditQueue = queue + taken
    self._note_reorganisations()
    self._count_rewards()
    self._drain()
    self._note_finality(slot, finalSlot)


@internal
def _note_reorganisations():
    count: uint256 = staticcall PowLightClient(self.lightClient).deepReorgs()
    if count != self.deepSeen:
        self.deepSeen = count
        log DeepReorganisation(count=count)


@internal
def _count_rewards():
    buried: uint256 = staticcall PowLightClient(self.lightClient).buriedHeight()
    counted: uint256 = self.counted
    if buried <= counted or self._reasons(INWARD) != 0:
        return
    heights: uint256 = min(buried - counted, MAX_HEIGHTS)
    self.counted = counted + heights
    index: uint256 = self._credit(self.rewardPool, heights * REWARD_GWEI, REWARD)
    log RewardsCounted(firstHeight=counted + 1, lastHeight=counted + heights, queueIndex=index)


@internal
def _note_finality(slot: uint256, finalSlot: uint256):
    """
    @dev A mark says how many requests were drained at the end of a slot. When it is final, so many have
         passed, and the next mark is set.
    """
    noted: uint256 = self.finality
    assert slot > noted & SLOT and slot <= SLOT, "slot"
    assert finalSlot >= (noted >> 48) & SLOT and finalSlot <= slot, "final slot"
    mark: uint256 = noted >> 96
    if finalSlot >= mark & SLOT:
        drained: uint256 = (self.requestQueue >> 64) & WORD
        mark = slot | (drained << 48) | (((mark >> 48) & SLOT) << 96)
    self.finality = slot | (finalSlot << 48) | (mark << 96)


@internal
def _drain():
    """
    @dev A handover is drained by the block that requests it, with all before it: the PoW chain must hear of it
         from the old set, however many requests stand in its way.
    """
    queue: uint256 = self.requestQueue
    queued: uint256 = queue & WORD
    drained: uint256 = (queue >> 64) & WORD
    end: uint256 = min(queued, drained + self.maxRequests)
    if end != queued:
        end = max(end, self.lastHandover)
    if end != (queue >> 128) & WORD:
        self.requestQueue = queued | (end << 64) | (drained << 128) | ((queue >> 192) << 192)


@external
def handover(setNumber: uint256, members: DynArray[address, MAX_MEMBERS]):
    """
    @notice Tell the PoW chain the members of a newly read set. Set numbers rise by one; never paused.
    """
    assert msg.sender == SYSTEM, "only the protocol"
    assert setNumber == self.lastSet + 1, "set number"
    assert len(members) != 0, "no members"
    number: uint256 = (self.requestQueue & WORD) + 1
    for place: uint256 in range(len(members), bound=MAX_MEMBERS):
        assert members[place] != empty(address), "no member"
        for other: uint256 in range(place, bound=MAX_MEMBERS):
            assert members[other] != members[place], "member twice"
    self.lastSet = setNumber
    self.lastHandover = number
    self.requestHeads[number] = (HANDOVER << 248) | setNumber
    self.requestMembers[number] = members
    self.requestQueue += 1
    request: Bytes[MAX_HANDOVER] = self._encode_handover(number, setNumber, members)
    self.accumulators[number] = keccak256(concat(self.accumulators[number - 1], request))
    log HandoverRequested(number=number, setNumber=setNumber)


@internal
@pure
def _encode_handover(
    number: uint256, setNumber: uint256, members: DynArray[address, MAX_MEMBERS]
) -> Bytes[MAX_HANDOVER]:
    encoded: Bytes[MAX_HANDOVER] = concat(b"\x11", self._uint64(number), self._uint64(setNumber))
    for member: address in members:
        longer: Bytes[MAX_HANDOVER + 20] = concat(encoded, convert(member, bytes20))
        encoded = abi_decode(abi_encode(longer), Bytes[MAX_HANDOVER])  # the way to a shorter type
    return encoded


@internal
@pure
def _uint64(number: uint256) -> bytes8:
    return convert(convert(number, uint64), bytes8)


# --- in: deposits ----------------------------------------------------------------------------------------


@internal
def _credit(account: address, amount: uint256, kind: uint256) -> uint256:
    queue: uint256 = self.creditQueue
    index: uint256 = queue >> 64
    self.credits[index] = convert(account, uint256) | (amount << 160) | (kind << 224)
    self.creditQueue = queue + (1 << 64)
    self.creditedTotals += amount << (128 * kind)
    return index


@internal
@pure
def _outpoint(txid: bytes32, vout: uint256) -> bytes32:
    return keccak256(concat(txid, convert(convert(vout, uint32), bytes4)))


@external
@nonreentrant
def proveDeposit(
    header: Bytes[80], index: uint256, branch: DynArray[bytes32, MAX_DEPTH], raw: Bytes[MAX_RAW], vout: uint256
) -> uint256:
    """
    @notice Credit the deposit in output `vout` of a buried PoW transaction, once. Anybody may prove it.
    @param header The 80-byte header of the block, which must be on the light client's best chain
    @param index The transaction's place in the block
    @param branch Its Merkle branch, lowest first
    @param raw The transaction without its witness
    @return The credit's place in the queue
    """
    self._check_open(INWARD)
    if msg.sender != SYSTEM:  # a payload brings no more than a block pays; others could delay everybody for days
        queue: uint256 = self.creditQueue
        assert (queue >> 64) - (queue & WORD) < MAX_QUEUED, "too many wait"
    assert index != 0, "coinbase"
    assert len(raw) != 64, "64 bytes"
    assert len(raw) >= MIN_RAW, "truncated"
    account: address = empty(address)
    units: uint256 = 0
    account, units = self._output(raw, self._skip_inputs(raw), vout)
    txid: bytes32 = sha256(sha256(raw))
    outpoint: bytes32 = self._outpoint(txid, vout)
    assert self.creditOf[outpoint] == 0, "credited before"
    self._check_buried(header, txid, index, branch)
    place: uint256 = self._credit(account, units * GWEI_PER_UNIT, DEPOSIT)
    self.creditOf[outpoint] = place + 1
    log DepositCredited(
        id=outpoint, account=account, txid=txid, vout=vout, amount=units * GWEI_PER_UNIT, queueIndex=place
    )
    return place


@internal
@view
def _check_buried(header: Bytes[80], txid: bytes32, index: uint256, branch: DynArray[bytes32, MAX_DEPTH]):
    client: address = self.lightClient
    height: uint256 = staticcall PowLightClient(client).verifyInclusion(header, txid, index, branch)
    assert height != 0, "genesis"
    assert height <= staticcall PowLightClient(client).buriedHeight(), "not buried"


# A transaction is read in words of 32 bytes that begin at `at`; what lies beyond its end reads as zero. `at` rises
# by less than 2**17 a step, so it cannot overflow.


@internal
@pure
def _size(word: uint256) -> (uint256, uint256):
    """
    @dev Read a CompactSize at the front of a word: value, and bytes that it takes. No longer form can be
         canonical here, because its value would not fit into a transaction.
    """
    first: uint256 = word >> 248
    if first < 253:
        return first, 1
    assert first == 253, "size form"
    number: uint256 = ((word >> 240) & 255) | (((word >> 232) & 255) << 8)
    assert number >= 253, "size form"
    return number, 3


@internal
@pure
def _skip_inputs(raw: Bytes[MAX_RAW]) -> uint256:
    """
    @dev Give where the outputs begin.
    """
    size: uint256 = len(raw)
    last: uint256 = size - 32
    count: uint256 = 0
    used: uint256 = 0
    count, used = self._size(extract32(raw, 4, output_type=uint256))
    assert count != 0, "no inputs"
    at: uint256 = 4 + used
    assert count * 41 <= size - at, "truncated"
    for _: uint256 in range(count, bound=MAX_INPUTS):
        assert at <= last, "truncated"
        assert extract32(raw, at, output_type=uint256) != 0, "coinbase"
        at = unsafe_add(at, 36)
        start: uint256 = min(at, last)
        script: uint256 = 0
        script, used = self._size(
            extract32(raw, start, output_type=uint256) << unsafe_mul(unsafe_sub(at, start), 8)
        )
        at = unsafe_add(at, unsafe_add(used, unsafe_add(script, 4)))
    assert at <= size, "truncated"
    return at


@internal
@pure
def _output(raw: Bytes[MAX_RAW], begin: uint256, vout: uint256) -> (address, uint256):
    """
    @dev Read all outputs to the transaction's last byte; give account and PoW units of the deposit `vout`.
    """
    size: uint256 = len(raw)
    last: uint256 = size - 32
    at: uint256 = begin
    account: uint256 = 0
    units: uint256 = 0
    count: uint256 = 0
    used: uint256 = 0
    start: uint256 = min(at, last)
    count, used = self._size(extract32(raw, start, output_type=uint256) << ((at - start) * 8))
    at += used
    assert at <= size and count * 9 <= size - at, "truncated"
    assert vout < count, "no such output"
    for output: uint256 in range(count, bound=MAX_OUTPUTS):
        start = min(at, last)
        word: uint256 = extract32(raw, start, output_type=uint256) << unsafe_mul(unsafe_sub(at, start), 8)
        script: uint256 = (word >> 184) & 255
        used = 1
        if script > 252:
            script, used = self._size(word << 64)
        at = unsafe_add(at, unsafe_add(used, 8))
        if output == vout:
            assert script == 34 and (word >> 168) & 65535 == 24608, "no deposit output"  # 60 20
            assert at + 34 <= size, "truncated"
            account = extract32(raw, at + 2, output_type=uint256)
            units = word >> 192
        at = unsafe_add(at, script)
    assert at + 4 <= size, "truncated"
    assert at + 4 == size, "trailing bytes"
    assert account >> 160 == convert(b"ioeX:deposit", uint256), "no deposit output"
    units = self._swap(units)
    assert units != 0, "no amount"
    assert units <= MAX_OUTPUT, "amount"
    return convert(account & ((1 << 160) - 1), address), units


@internal
@pure
def _swap(number: uint256) -> uint256:
    """
    @dev Turn the bytes of a uint64 round.
    """
    x: uint256 = ((number & 71777214294589695) << 8) | ((number >> 8) & 71777214294589695)  # 00ff...
    x = ((x & 281470681808895) << 16) | ((x >> 16) & 281470681808895)  # 0000ffff...
    return ((x & 4294967295) << 32) | (x >> 32)


# --- out: withdrawals ------------------------------------------------------------------------------------


@external
@payable
@nonreentrant
def withdraw(script: Bytes[34]) -> uint256:
    """
    @notice Ask for the sent IOEX on the PoW chain; they stay here for ever. The settlement keeps back its fee.
    @param script The output script to pay: P2WPKH, P2WSH or P2TR
    @return The request's number
    """
    assert msg.value % WEI_PER_UNIT == 0, "not a multiple of 1e10 wei"
    units: uint256 = msg.value // WEI_PER_UNIT
    assert units >= self.minWithdrawal, "below the minimum"
    assert units <= MAX_OUTPUT, "more than an output may hold"
    form: uint256 = self._form(script)
    self._check_open(OUTWARD)
    self._spend(units)
    queue: uint256 = self.requestQueue
    assert (queue & WORD) - (self.finality >> 192) < self.maxWaiting, "too many wait"
    number: uint256 = (queue & WORD) + 1
    self.requestQueue = queue + 1 + (1 << 192)
    self.requestHeads[number] = (form << 248) | units
    self.requestPrograms[number] = self._program(script)
    self.requestedUnits += units
    request: Bytes[51] = concat(b"\x10", self._uint64(number), self._uint64(units), script)
    self.accumulators[number] = keccak256(concat(self.accumulators[number - 1], request))
    log WithdrawalRequested(number=number, sender=msg.sender, units=units, script=script)
    return number


@internal
@pure
def _form(script: Bytes[34]) -> uint256:
    assert len(script) == 22 or len(script) == 34, "script form"
    head: bytes2 = convert(slice(script, 0, 2), bytes2)
    if len(script) == 22:
        assert head == 0x0014, "script form"
        return P2WPKH
    if head == 0x0020:
        return P2WSH
    assert head == 0x5120, "script form"
    return P2TR


@internal
@pure
def _program(script: Bytes[34]) -> bytes32:
    if len(script) == 22:
        return convert(convert(slice(script, 2, 20), bytes20), bytes32)
    return convert(slice(script, 2, 32), bytes32)


@internal
def _spend(units: uint256):
    """
    @dev Count against the cap of the day (UTC).
    """
    today: uint256 = block.timestamp // DAY
    outflow: uint256 = self.outflow
    used: uint256 = units
    if outflow >> 128 == today:
        used += outflow & HALF
    assert used <= self.dailyCap, "over the daily cap"
    self.outflow = (today << 128) | used


@external
@payable
def retire():
    """
    @notice Take the sent IOEX out of use for ever; their backing stays in the reserve.
    """
    assert msg.value != 0, "no amount"
    self.retiredTotal += msg.value
    log Retired(sender=msg.sender, amount=msg.value)


# --- the owner -------------------------------------------------------------------------------------------


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "only the owner"


@external
def pause(door: uint256):
    """
    @notice Close a door: 0 in (rewards, deposits), 1 out (withdrawals). Handovers have none.
    """
    self._check_owner()
    assert door <= OUTWARD, "door"
    self.ownerPaused |= 1 << door
    log Paused(door=door)


@external
def resume(door: uint256):
    """
    @notice Open a door that the owner closed.
    """
    self._check_owner()
    assert door <= OUTWARD, "door"
    self.ownerPaused &= ~(1 << door)
    log Resumed(door=door)


@external
def acknowledge(count: uint256):
    """
    @notice Open both doors again after a deep reorganisation.
    @param count The light client's `deepReorgs()`: the ones that the owner has looked at
    """
    self._check_owner()
    assert count == staticcall PowLightClient(self.lightClient).deepReorgs(), "count"
    assert count > self.deepAcknowledged, "nothing to acknowledge"
    self.deepAcknowledged = count
    log DeepReorganisationAcknowledged(count=count)


@external
def lowerCap(cap: uint256):
    """
    @notice Lower the daily cap at once. An announced rise is forgotten.
    @param cap PoW units
    """
    self._check_owner()
    assert cap < self.dailyCap, "not lower"
    self._set_cap(cap)


@external
def announceCap(cap: uint256):
    """
    @notice Announce a higher daily cap; it can be set after the owner's delay.
    @param cap PoW units
    """
    self._check_owner()
    assert cap > self.dailyCap and cap <= HALF, "not higher"
    self.pendingCap = cap
    self.pendingCapTime = block.timestamp + self.ownerDelay
    log CapAnnounced(cap=cap, time=self.pendingCapTime)


@external
def raiseCap():
    """
    @notice Set the announced cap.
    """
    self._check_owner()
    assert self.pendingCapTime != 0, "nothing was announced"
    assert block.timestamp >= self.pendingCapTime, "too early"
    self._set_cap(self.pendingCap)


@internal
def _set_cap(cap: uint256):
    self.dailyCap = cap
    self.pendingCap = 0
    self.pendingCapTime = 0
    log CapSet(cap=cap)


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


# --- views -----------------------------------------------------------------------------------------------


@external
@view
def pauseReasons(door: uint256) -> uint256:
    """
    @notice Why a door is closed, as a sum: 1 the owner, 2 a deep reorganisation, 4 stalled finality; 0: open.
    """
    assert door <= OUTWARD, "door"
    return self._reasons(door)


@external
@view
def isPaused(door: uint256) -> bool:
    """
    @notice Whether a door is closed: 0 in, 1 out.
    """
    assert door <= OUTWARD, "door"
    return self._reasons(door) != 0


@external
@view
def creditQueueBounds() -> (uint256, uint256):
    """
    @notice The first credit that is not paid yet, and how many were ever queued.
    """
    return self.creditQueue & WORD, self.creditQueue >> 64


@external
@view
def credit(index: uint256) -> (address, uint256, uint256):
    """
    @notice A credit's account, gwei and kind (0 reward, 1 deposit).
    """
    packed: uint256 = self.credits[index]
    account: address = convert(packed & ((1 << 160) - 1), address)
    return account, (packed >> 160) & WORD, packed >> 224


@external
@view
def isCredited(txid: bytes32, vout: uint256) -> bool:
    """
    @notice Whether an outpoint was credited; the id as it is hashed, not as explorers print it.
    """
    return self.creditOf[self._outpoint(txid, vout)] != 0


@external
@view
def creditIndex(txid: bytes32, vout: uint256) -> uint256:
    """
    @notice The place of an outpoint's credit in the queue.
    """
    place: uint256 = self.creditOf[self._outpoint(txid, vout)]
    assert place != 0, "not credited"
    return place - 1


@external
@view
def creditedRewards() -> uint256:
    """
    @notice All gwei ever credited as rewards.
    """
    return self.creditedTotals & HALF


@external
@view
def creditedDeposits() -> uint256:
    """
    @notice All gwei ever credited for deposits.
    """
    return self.creditedTotals >> 128


@external
@view
def requests() -> (uint256, uint256, uint256):
    """
    @notice How many requests were queued, drained by blocks, and are withdrawals.
    """
    queue: uint256 = self.requestQueue
    return queue & WORD, (queue >> 64) & WORD, queue >> 192


@external
@view
def accumulator(number: uint256) -> bytes32:
    """
    @notice The accumulator over the requests 1 to `number`; zero for 0 and for numbers that do not exist.
    """
    return self.accumulators[number]


@external
@view
def request(number: uint256) -> Bytes[MAX_HANDOVER]:
    """
    @notice The bytes of a request as the PoW chain reads them; empty for a number that does not exist.
    """
    head: uint256 = self.requestHeads[number]
    if head == 0:
        return b""
    value: bytes8 = self._uint64(head & WORD)
    form: uint256 = head >> 248
    program: bytes32 = self.requestPrograms[number]
    if form == P2WPKH:
        return concat(b"\x10", self._uint64(number), value, b"\x00\x14", slice(program, 0, 20))
    if form == P2WSH:
        return concat(b"\x10", self._uint64(number), value, b"\x00\x20", program)
    if form == P2TR:
        return concat(b"\x10", self._uint64(number), value, b"\x51\x20", program)
    return self._encode_handover(number, head & WORD, self.requestMembers[number])


@external
@view
def outflowToday() -> uint256:
    """
    @notice PoW units withdrawn on the present day (UTC), against `dailyCap`.
    """
    outflow: uint256 = self.outflow
    return outflow & HALF if outflow >> 128 == block.timestamp // DAY else 0


@external
@view
def finalityNote() -> (uint256, uint256, uint256):
    """
    @notice The last block's slot, the slot that it records as final, and the requests known to be drained for good.
    """
    noted: uint256 = self.finality
    return noted & SLOT, (noted >> 48) & SLOT, noted >> 192

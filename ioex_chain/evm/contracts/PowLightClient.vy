# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title PowLightClient
@license MIT
@notice Follows the headers of the PoW chain by its own rules, and proves what a block contains
        (docs/protocol.md sections 3, 5.6 and 6). It believes work, and nobody's word.
@dev Hashes are as they are hashed ("internal order"). Every header has a record under its hash; nothing is
     written when the best chain changes but its tip: a record's jump leads to an ancestor further down (Myers,
     An applicative random-access stack, 1983), so that any ancestor is found in O(log n) steps.
     Nodes read this storage: fields may not move. Genesis writes the storage; the constructor is for other chains.
"""

interface Bridge:
    def isPaused(door: uint256) -> bool: view


struct Record:
    parent: bytes32
    info: uint256   # height << 224 | work << 96 | times of this header and of the two before it
    times: uint256  # of the eight headers before those, newest first, 32 bits each
    jump: bytes32   # the ancestor that the height's shape names; not written where that is the parent


event HeaderAccepted:
    hash: indexed(bytes32)
    height: uint256


event Reorganised:
    fork: uint256  # height of the last block that both branches have
    depth: uint256  # blocks of the old branch above it
    old: bytes32
    new: bytes32


event DeepBranchProposed:
    hash: indexed(bytes32)
    time: uint256


event DeepBranchAllowed:
    hash: indexed(bytes32)


event DeepBranchCancelled:
    pass


event OwnershipOffered:
    owner: indexed(address)


event OwnershipTaken:
    owner: indexed(address)


MAX_RECORD: constant(uint256) = 4096  # bytes of an AuxPoW record
MAX_COINBASE: constant(uint256) = 2048  # bytes of its parent coinbase
MAX_HEADER: constant(uint256) = 80 + MAX_RECORD
MAX_DEPTH: constant(uint256) = 30  # of a record's branches
LEAST_REST: constant(uint256) = 32 + 1 + 4 + 1 + 4 + 80  # of a record behind the parent coinbase
MAX_INPUTS: constant(uint256) = MAX_COINBASE // 41
MAX_OUTPUTS: constant(uint256) = MAX_COINBASE // 9
MAX_PROOF: constant(uint256) = 14  # levels above 10,000 transactions
MAGIC: constant(uint256) = 4206783853  # fa be 6d 6d
ABSENT: constant(uint256) = max_value(uint256)
U16: constant(uint256) = (1 << 16) - 1
U24: constant(uint256) = (1 << 24) - 1
U32: constant(uint256) = (1 << 32) - 1
ODD_BYTES: constant(uint256) = U32 // 257
HALF: constant(uint256) = (1 << 128) - 1
HEIGHT: constant(uint256) = 224
WORK: constant(uint256) = 96
MAX_HOPS: constant(uint256) = 128  # more than three for each of a height's 32 bits
INWARD: constant(uint256) = 0  # the Bridge's door for what comes from the PoW chain

# spacing | half-life << 32 | genesis time << 64 | genesis bits << 96 | limit bits << 128 | chain id << 160
# | max future << 176 | burial depth << 192 | max reorganisation << 216 | fixed difficulty << 240
rules: uint256
best: bytes32
records: HashMap[bytes32, Record]
reorganisations: uint256  # deepest | deep ones << 32 | greatest height ever best << 64, where the tip is lower
owner: public(address)
pendingOwner: public(address)
bridge: public(address)
ownerDelay: public(uint256)  # seconds
proposedBranch: public(bytes32)
proposedTime: public(uint256)  # when it may be allowed
allowedBranch: public(bytes32)


@deploy
def __init__(rules: uint256, genesis: bytes32, owner: address, bridge: address, ownerDelay: uint256):
    """
    @notice Begin with a PoW genesis block. Predeployed contracts have this storage from their chain's genesis.
    """
    self.rules = rules
    self.best = genesis
    self.records[genesis].info = (((rules >> 64) & U32) << 64) | ((1 << 64) - 1)
    self.records[genesis].times = ABSENT
    self.owner = owner
    self.bridge = bridge
    self.ownerDelay = ownerDelay


# --- headers ---------------------------------------------------------------------------------------------


@external
def submit(header: Bytes[MAX_HEADER]):
    """
    @notice Take a header on one that is known. Anybody may submit; reverts with the rule that it breaks.
    @param header 80 bytes, and the AuxPoW record exactly when version bit 8 is set
    """
    assert len(header) >= 80, "size"
    hash: bytes32 = sha256(sha256(slice(header, 0, 80)))
    assert self.records[hash].info == 0, "known"
    parent: bytes32 = extract32(header, 4)
    before: uint256 = self.records[parent].info
    assert before != 0, "orphan"
    rules: uint256 = self.rules
    tail: uint256 = convert(extract32(header, 48), uint256)
    bits: uint256 = self._swap32((tail >> 32) & U32)
    assert bits == self._next_bits(rules, before >> HEIGHT, (before >> 64) & U32), "bits"
    target: uint256 = self._target(bits)
    proof: bytes32 = hash
    if (convert(extract32(header, 0), uint256) >> 240) & 1 != 0:
        proof = self._check_auxpow(header, hash, (rules >> 160) & U16)
    else:
        assert len(header) == 80, "size"
    assert self._reverse(proof) <= target, "work"
    time: uint256 = self._swap32((tail >> 64) & U32)
    times: uint256 = self.records[parent].times
    self._check_time(time, before, times)
    assert time <= block.timestamp + ((rules >> 176) & U16), "later"
    # 2**256 // (target + 1) without its 257th bit
    work: uint256 = ((before >> WORK) & HALF) + unsafe_add(unsafe_div(~target, unsafe_add(target, 1)), 1)
    assert work <= HALF, "work"
    self._follow(hash, parent, before, work)
    self.records[hash].parent = parent
    self.records[hash].info = (
        (((before >> HEIGHT) + 1) << HEIGHT) | (work << WORK) | (time << 64) | ((before >> 32) & ((1 << 64) - 1))
    )
    self.records[hash].times = ((before & U32) << 224) | (times >> 32)
    log HeaderAccepted(hash=hash, height=(before >> HEIGHT) + 1)


@internal
@pure
def _check_time(time: uint256, before: uint256, times: uint256):
    """
    @dev After the median of the last 11 means after 6 of them. Times before genesis are the greatest there is
         and are never counted, so that fewer than 11 have their own median.
    """
    earlier: uint256 = 0
    rest: uint256 = times
    for _: uint256 in range(8):
        if rest & U32 < time:
            earlier += 1
        rest >>= 32
    rest = before
    for _: uint256 in range(3):
        if rest & U32 < time:
            earlier += 1
        rest >>= 32
    assert earlier > min((before >> HEIGHT) + 1, 11) >> 1, "time"


@internal
def _follow(hash: bytes32, parent: bytes32, before: uint256, work: uint256):
    """
    @dev Give the header its jump; make it the tip if it has the most work, which the first seen keeps in a tie.
    """
    rules: uint256 = self.rules
    best: bytes32 = self.best
    top: uint256 = before
    if parent != best:
        top = self.records[best].info
        if top >> HEIGHT > (before >> HEIGHT) + ((rules >> 216) & U24):
            assert self.allowedBranch != empty(bytes32), "deep"
    self._set_jump(hash, parent, before >> HEIGHT)
    if work > (top >> WORK) & HALF:
        if parent != best:
            self._switch(hash, parent, before >> HEIGHT, best, top >> HEIGHT)
        self.best = hash


@internal
def _switch(hash: bytes32, parent: bytes32, height: uint256, best: bytes32, top: uint256):
    """
    @dev Note a change of branch, and refuse one that is too deep. `height` is the parent's, `top` the best's.
    """
    level: uint256 = min(height, top)
    fork: uint256 = self._fork(
        self._ancestor(parent, height, level), self._ancestor(best, top, level), level
    )
    depth: uint256 = top - fork
    rules: uint256 = self.rules
    is_allowed: bool = self._use_allowed(hash, parent, height, fork)
    assert is_allowed or depth <= (rules >> 216) & U24, "deep"
    noted: uint256 = self.reorganisations
    deepest: uint256 = max(noted & U32, depth)
    deep: uint256 = (noted >> 32) & U32
    peak: uint256 = max(noted >> 64, top)
    # A block that was once buried stays so in memory: up to `peak` less k, also when the tip is lower now.
    buried: uint256 = fork + ((rules >> 192) & U24)
    if peak > buried:
        deep += 1
        peak = buried
    if peak <= height + 1:
        peak = 0  # the new tip tells
    changed: uint256 = deepest | (deep << 32) | (peak << 64)
    if changed != noted:
        self.reorganisations = changed
    log Reorganised(fork=fork, depth=depth, old=best, new=hash)


@internal
def _use_allowed(hash: bytes32, parent: bytes32, height: uint256, fork: uint256) -> bool:
    """
    @dev Whether the owner allowed a block of the new branch; the permission ends when the branch is followed.
    """
    allowed: bytes32 = self.allowedBranch
    if allowed == empty(bytes32):
        return False
    if allowed != hash:
        info: uint256 = self.records[allowed].info
        if info == 0 or info >> HEIGHT > height or info >> HEIGHT <= fork:
            return False
        if self._ancestor(parent, height, info >> HEIGHT) != allowed:
            return False
    self.allowedBranch = empty(bytes32)
    return True


# --- ancestors -------------------------------------------------------------------------------------------
# A height in skew binary is a sum of numbers 2**k - 1, greatest first, of which only the least may stand twice.
# The jump of a record goes down by the least. `spans` has the bit 2**k for each number; `twice`: the least
# stands twice.


@internal
@pure
def _spans(height: uint256) -> (uint256, bool):
    spans: uint256 = 0
    left: uint256 = height
    bit: uint256 = 1 << 32
    for _: uint256 in range(32):
        if left >= unsafe_sub(bit, 1):
            left = unsafe_sub(left, unsafe_sub(bit, 1))
            spans |= bit
            if left == unsafe_sub(bit, 1):
                return spans, True
        if left == 0:
            break
        bit >>= 1
    return spans, False


@internal
def _set_jump(hash: bytes32, parent: bytes32, height: uint256):
    """
    @dev `height` is the parent's. Where its least number stands twice, the two and the new block become one.
    """
    spans: uint256 = 0
    twice: bool = False
    spans, twice = self._spans(height)
    if twice:
        long: bool = spans & 2 == 0
        middle: bytes32 = self._next(parent, long)
        self.records[hash].jump = self._next(middle, long)


@internal
@view
def _next(at: bytes32, jump: bool) -> bytes32:
    return self.records[at].jump if jump else self.records[at].parent


@internal
@view
def _ancestor(hash: bytes32, height: uint256, target: uint256) -> bytes32:
    """
    @dev The ancestor at height `target`, at most `height`, which is the record's own.
    """
    at: bytes32 = hash
    left: uint256 = height - target
    if left == 0:
        return at
    spans: uint256 = 0
    twice: bool = False
    spans, twice = self._spans(height)
    for _: uint256 in range(MAX_HOPS):
        bit: uint256 = spans & unsafe_add(~spans, 1)
        if left < unsafe_sub(bit, 1):
            at = self.records[at].parent
            left = unsafe_sub(left, 1)
            spans = (spans if twice else spans ^ bit) | (bit >> 1)
            twice = True
        else:
            at = self._next(at, bit != 2)
            left = unsafe_sub(left, unsafe_sub(bit, 1))
            spans = spans if twice else spans ^ bit
            twice = False
        if left == 0:
            break
    return at


@internal
@view
def _fork(one: bytes32, other: bytes32, height: uint256) -> uint256:
    """
    @dev The height of the last block that both descend from or are; they stand at the same height.
    """
    a: bytes32 = one
    b: bytes32 = other
    at: uint256 = height
    spans: uint256 = 0
    twice: bool = False
    spans, twice = self._spans(height)
    for _: uint256 in range(MAX_HOPS):
        if a == b:
            break
        bit: uint256 = spans & unsafe_add(~spans, 1)
        next: bytes32 = self._next(a, bit != 2)
        if bit != 2 and next == self.records[b].jump:
            a = self.records[a].parent
            b = self.records[b].parent
            at = unsafe_sub(at, 1)
            spans = (spans if twice else spans ^ bit) | (bit >> 1)
            twice = True
        else:
            a = next
            b = self._next(b, bit != 2)
            at = unsafe_sub(at, unsafe_sub(bit, 1))
            spans = spans if twice else spans ^ bit
            twice = False
    return at


# --- work and targets ------------------------------------------------------------------------------------


@internal
@pure
def _swap32(number: uint256) -> uint256:
    swapped: uint256 = ((number & ODD_BYTES) << 8) | ((number >> 8) & ODD_BYTES)
    return ((swapped & U16) << 16) | (swapped >> 16)


@internal
@pure
def _reverse(word: bytes32) -> uint256:
    """
    @dev Read 32 bytes as a little-endian number.
    """
    number: uint256 = convert(word, uint256)
    for step: uint256 in [8, 16, 32, 64]:
        mask: uint256 = max_value(uint256) // ((1 << step) + 1)
        number = ((number & mask) << step) | ((number >> step) & mask)
    return (number << 128) | (number >> 128)


@internal
@pure
def _target(bits: uint256) -> uint256:
    """
    @dev Read the compact form; negative, zero and too large ones are no target.
    """
    size: uint256 = bits >> 24
    mantissa: uint256 = bits & ((1 << 23) - 1)
    target: uint256 = 0
    if size <= 3:
        target = mantissa >> (8 * (3 - size))
    else:
        places: uint256 = 8 * (size - 3)
        target = mantissa << places
        assert places < 256 and target >> places == mantissa, "bits"
    assert bits & (1 << 23) == 0 and target != 0, "bits"
    return target


@internal
@pure
def _bits(target: uint256) -> uint256:
    """
    @dev Write a target in compact form, truncated to its 23 leading bits.
    """
    size: uint256 = 0
    rest: uint256 = target
    if rest >> 128 != 0:
        rest >>= 128
        size += 16
    if rest >> 64 != 0:
        rest >>= 64
        size += 8
    if rest >> 32 != 0:
        rest >>= 32
        size += 4
    if rest >> 16 != 0:
        rest >>= 16
        size += 2
    size += 2 if rest >> 8 != 0 else 1
    mantissa: uint256 = target << (8 * (3 - size)) if size <= 3 else target >> (8 * (size - 3))
    if mantissa & (1 << 23) != 0:
        mantissa >>= 8
        size += 1
    return (size << 24) | mantissa


@internal
@pure
def _next_bits(rules: uint256, height: uint256, time: uint256) -> uint256:
    """
    @dev ASERT (aserti3-2d), anchored at genesis: the bits of the block on one of this height and time. The
         reference divides in C, which truncates as the EVM does; its shift rounds down as the EVM's.
    """
    limit_bits: uint256 = (rules >> 128) & U32
    if rules >> 240 != 0:
        return limit_bits
    late: int256 = (
        convert(time, int256) - convert((rules >> 64) & U32, int256) - convert((rules & U32) * height, int256)
    )
    exponent: int256 = late * 65536 // convert((rules >> 32) & U32, int256)
    shifts: int256 = exponent >> 16
    fraction: uint256 = convert(exponent - (shifts << 16), uint256)
    factor: uint256 = (
        (195766423245049 * fraction + 971821376 * fraction**2 + 5127 * fraction**3 + (1 << 47)) >> 48
    ) + 65536
    limit: uint256 = self._target(limit_bits)
    target: uint256 = self._scale(self._target((rules >> 96) & U32), factor, shifts - 16, limit)
    return self._bits(max(target, 1))


@internal
@pure
def _scale(target: uint256, factor: uint256, shifts: int256, limit: uint256) -> uint256:
    """
    @dev target * factor * 2**shifts, rounded down, at most `limit`. The product may have 273 bits.
    """
    low: uint256 = (target & HALF) * factor
    high: uint256 = (target >> 128) * factor + (low >> 128)
    low &= HALF
    if shifts < 0:
        right: uint256 = convert(-shifts, uint256)
        if right >= 128:
            return min(high >> (right - 128), limit) if right < 384 else 0
        if high >> (128 + right) != 0:
            return limit
        return min((high << (128 - right)) + (low >> right), limit)
    left: uint256 = convert(shifts, uint256)
    if left >= 256 or high >> 128 != 0:
        return limit
    product: uint256 = (high << 128) | low
    return limit if product > limit >> left else product << left


# --- merged mining ---------------------------------------------------------------------------------------


@internal
@pure
def _check_auxpow(header: Bytes[MAX_HEADER], hash: bytes32, chain_id: uint256) -> bytes32:
    """
    @dev Check the record in Namecoin's format; give the parent header's hash, which must meet the target.
    """
    version: uint256 = self._swap32(convert(extract32(header, 0), uint256) >> 224)
    assert version >> 16 == chain_id, "auxpow chain"
    assert len(header) >= 80 + LEAST_REST, "auxpow size"
    script: uint256 = 0
    size: uint256 = 0
    at: uint256 = 0
    script, size, at = self._read_coinbase(header)
    node: bytes32 = sha256(sha256(slice(header, 80, at - 80)))
    at += 32  # the parent's hash: a free field
    depth: uint256 = convert(extract32(header, at), uint256) >> 248
    assert depth <= MAX_DEPTH, "auxpow depth"
    at += 1
    assert at + 32 * depth + 89 <= len(header), "auxpow size"
    for _: uint256 in range(depth, bound=MAX_DEPTH):
        node = self._pair(node, extract32(header, at))
        at += 32
    assert convert(extract32(header, at), uint256) >> 224 == 0, "auxpow index"
    at += 4
    root: bytes32 = hash
    depth = convert(extract32(header, at), uint256) >> 248
    assert depth <= MAX_DEPTH, "auxpow depth"
    at += 1
    assert at + 32 * depth + 84 == len(header), "auxpow size"
    end: uint256 = at + 32 * depth
    index: uint256 = self._swap32(convert(extract32(header, end), uint256) >> 224)
    for level: uint256 in range(depth, bound=MAX_DEPTH):
        sibling: bytes32 = extract32(header, at)
        root = self._pair(root, sibling) if (index >> level) & 1 == 0 else self._pair(sibling, root)
        at += 32
    at += 4
    assert node == extract32(header, at + 36), "auxpow merkle"
    assert self._swap32(convert(extract32(header, at), uint256) >> 224) >> 16 != chain_id, "auxpow parent"
    self._check_commitment(header, script, size, self._reverse(root), depth, index, chain_id)
    return sha256(sha256(slice(header, at, 80)))


@internal
@pure
def _read_coinbase(header: Bytes[MAX_HEADER]) -> (uint256, uint256, uint256):
    """
    @dev Read the parent coinbase at 80: where its first input's script begins, its length, and the end.
         A word can be read everywhere below `limit`: what must follow is longer.
    """
    limit: uint256 = min(80 + MAX_COINBASE, len(header) - LEAST_REST)
    count: uint256 = 0
    used: uint256 = 0
    count, used = self._compact(extract32(header, 84))
    # 0 begins the form with a witness, whose id is another, or a transaction that spends nothing.
    assert count != 0 and count <= MAX_INPUTS, "auxpow coinbase"
    at: uint256 = 84 + used
    script: uint256 = 0
    size: uint256 = 0
    length: uint256 = 0
    for place: uint256 in range(count, bound=MAX_INPUTS):
        assert at + 36 < limit, "auxpow coinbase"
        length, used = self._compact(extract32(header, at + 36))
        at += 36 + used
        if place == 0:
            script = at
            size = length
        at += length + 4
    assert at < limit, "auxpow coinbase"
    count, used = self._compact(extract32(header, at))
    assert count <= MAX_OUTPUTS, "auxpow coinbase"
    at += used
    for _: uint256 in range(count, bound=MAX_OUTPUTS):
        assert at + 8 < limit, "auxpow coinbase"
        length, used = self._compact(extract32(header, at + 8))
        at += 8 + used + length
    at += 4
    assert at <= limit, "auxpow coinbase"
    return script, size, at


@internal
@pure
def _compact(word: bytes32) -> (uint256, uint256):
    """
    @dev Read a CompactSize at the front of a word: value and bytes used. The longer forms never fit here.
    """
    front: uint256 = convert(word, uint256) >> 232
    if front >> 16 < 253:
        return front >> 16, 1
    value: uint256 = ((front & 255) << 8) | ((front >> 8) & 255)
    assert front >> 16 == 253 and value >= 253, "auxpow coinbase"
    return value, 3


@internal
@pure
def _pair(left: bytes32, right: bytes32) -> bytes32:
    return sha256(sha256(concat(left, right)))


@internal
@pure
def _check_commitment(
    header: Bytes[MAX_HEADER],
    script: uint256,
    size: uint256,
    root: uint256,
    depth: uint256,
    index: uint256,
    chain_id: uint256,
):
    """
    @dev The chain Merkle root in the parent coinbase's script, and the leaf that is ours.
    """
    magic_at: uint256 = ABSENT
    root_at: uint256 = ABSENT
    for chunk: uint256 in range((size + 31) // 32, bound=MAX_COINBASE // 32):
        word: uint256 = convert(extract32(header, script + 32 * chunk), uint256)
        behind: uint256 = convert(extract32(header, script + 32 * chunk + 32), uint256)
        for offset: uint256 in range(32):
            if word >> 224 == MAGIC or word == root:
                at: uint256 = 32 * chunk + offset
                if word >> 224 == MAGIC and at + 4 <= size:
                    assert magic_at == ABSENT, "auxpow headers"
                    magic_at = at
                if word == root and root_at == ABSENT and at + 32 <= size:
                    root_at = at
            word = (word << 8) | (behind >> 248)
            behind <<= 8
    assert root_at != ABSENT, "auxpow root"
    if magic_at != ABSENT:
        assert magic_at + 4 == root_at, "auxpow place"
    else:
        assert root_at <= 20, "auxpow place"
    assert root_at + 40 <= size, "auxpow tree"
    tail: uint256 = convert(extract32(header, script + root_at + 32), uint256)
    assert self._swap32(tail >> 224) == 1 << depth, "auxpow tree"
    # Namecoin's rule for the leaf of a chain
    leaf: uint256 = (self._swap32((tail >> 192) & U32) * 1103515245 + 12345) & U32
    leaf = (((leaf + chain_id) & U32) * 1103515245 + 12345) & U32
    assert index == leaf & ((1 << depth) - 1), "auxpow leaf"


# --- inclusion -------------------------------------------------------------------------------------------


@external
@view
def verifyInclusion(
    header: Bytes[80], leaf: bytes32, index: uint256, branch: DynArray[bytes32, MAX_PROOF]
) -> uint256:
    """
    @notice Check that a transaction id is a leaf of a block on the best chain; give the block's height.
    @dev Burial is the caller's to ask, and that the leaf's transaction has not 64 bytes: such a one may be
         an inner node. Reverts unless the proof is the one canonical one.
    @param header The block's 80 bytes
    @param leaf The transaction id
    @param index Its place in the block
    @param branch Its siblings, lowest first
    """
    assert len(header) == 80, "size"
    assert leaf != empty(bytes32), "zero"
    assert index >> len(branch) == 0, "index"
    root: bytes32 = extract32(header, 36)
    assert root != empty(bytes32), "zero"
    height: uint256 = self._best_height(sha256(sha256(header)))
    node: bytes32 = leaf
    place: uint256 = index
    for sibling: bytes32 in branch:
        if place & 1 == 0:
            node = self._pair(node, sibling)
        else:
            assert sibling != node, "duplicate"  # a copy that fills an odd level
            node = self._pair(sibling, node)
        place >>= 1
    assert node == root, "root"
    return height


@internal
@view
def _best_height(hash: bytes32) -> uint256:
    info: uint256 = self.records[hash].info
    best: bytes32 = self.best
    top: uint256 = self.records[best].info >> HEIGHT
    assert info != 0 and info >> HEIGHT <= top, "not on the best chain"
    assert self._ancestor(best, top, info >> HEIGHT) == hash, "not on the best chain"
    return info >> HEIGHT


# --- views -----------------------------------------------------------------------------------------------


@external
@view
def bestHash() -> bytes32:
    """
    @notice The tip of the chain with the most work.
    """
    return self.best


@external
@view
def bestHeight() -> uint256:
    """
    @notice Its height; the PoW genesis block has 0.
    """
    return self.records[self.best].info >> HEIGHT


@external
@view
def bestWork() -> uint256:
    """
    @notice The expected number of hashes behind all its blocks but genesis.
    """
    return (self.records[self.best].info >> WORK) & HALF


@external
@view
def hashAt(height: uint256) -> bytes32:
    """
    @notice The best chain's block at a height; reverts above its tip.
    """
    top: uint256 = self.records[self.best].info >> HEIGHT
    assert height <= top, "above the best chain"
    return self._ancestor(self.best, top, height)


@external
@view
def heightOf(hash: bytes32) -> uint256:
    """
    @notice The height of a block of the best chain; reverts for any other.
    """
    return self._best_height(hash)


@external
@view
def knows(hash: bytes32) -> bool:
    """
    @notice Whether a header is here, on any branch.
    """
    return self.records[hash].info != 0


@external
@view
def headerOf(hash: bytes32) -> (bytes32, uint256, uint256, uint256):
    """
    @notice Parent, height, work of the chain up to it, and time of a known header on any branch.
    """
    info: uint256 = self.records[hash].info
    assert info != 0, "orphan"
    return self.records[hash].parent, info >> HEIGHT, (info >> WORK) & HALF, (info >> 64) & U32


@internal
@view
def _buried_height() -> uint256:
    top: uint256 = self.records[self.best].info >> HEIGHT
    depth: uint256 = (self.rules >> 192) & U24
    return top - depth if top > depth else 0


@external
@view
def buriedHeight() -> uint256:
    """
    @notice The height that has burial depth blocks above it; 0 while there is none.
    """
    return self._buried_height()


@external
@view
def buriedHash() -> bytes32:
    """
    @notice The block at the buried height: the PoW genesis block in the beginning.
    """
    return self._ancestor(self.best, self.records[self.best].info >> HEIGHT, self._buried_height())


@external
@view
def deepestReorg() -> uint256:
    """
    @notice How many blocks the deepest change of branch took back.
    """
    return self.reorganisations & U32


@external
@view
def deepReorgs() -> uint256:
    """
    @notice How many changes of branch took back a block that had been buried.
    """
    return (self.reorganisations >> 32) & U32


@external
@view
def nextBits(height: uint256, time: uint256) -> uint256:
    """
    @notice The compact target that the difficulty rule asks of a block on one of this height and time.
    """
    assert height <= U32 and time <= U32, "range"
    return self._next_bits(self.rules, height, time)


@external
@view
def parameters() -> (uint256, uint256, uint256, uint256, uint256, uint256, uint256, uint256, uint256, bool):
    """
    @notice Spacing, half-life, genesis time, genesis bits, limit bits, AuxPoW chain id, seconds that a time may be
            ahead, burial depth, reorganisation limit, and whether difficulty is fixed.
    """
    rules: uint256 = self.rules
    return (
        rules & U32,
        (rules >> 32) & U32,
        (rules >> 64) & U32,
        (rules >> 96) & U32,
        (rules >> 128) & U32,
        (rules >> 160) & U16,
        (rules >> 176) & U16,
        (rules >> 192) & U24,
        (rules >> 216) & U24,
        rules >> 240 != 0,
    )


# --- the owner -------------------------------------------------------------------------------------------


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "only the owner"


@external
def proposeDeepBranch(hash: bytes32):
    """
    @notice Announce that branches through a block may be followed however deep they fork; it need not be known.
    """
    self._check_owner()
    assert hash != empty(bytes32), "zero"
    self.proposedBranch = hash
    self.proposedTime = block.timestamp + self.ownerDelay
    log DeepBranchProposed(hash=hash, time=self.proposedTime)


@external
def allowDeepBranch(hash: bytes32):
    """
    @notice Allow an announced block once its time has come, while the Bridge (if there is one) is paused. It is
            used up when a branch through it becomes the best. A block of the best chain allows nothing.
    """
    self._check_owner()
    assert hash == self.proposedBranch and hash != empty(bytes32), "not proposed"
    assert block.timestamp >= self.proposedTime, "too early"
    if self.bridge != empty(address):
        assert staticcall Bridge(self.bridge).isPaused(INWARD), "the bridge is not paused"
    self.proposedBranch = empty(bytes32)
    self.allowedBranch = hash
    log DeepBranchAllowed(hash=hash)


@external
def cancelDeepBranch():
    """
    @notice Take back what was announced or allowed.
    """
    self._check_owner()
    self.proposedBranch = empty(bytes32)
    self.allowedBranch = empty(bytes32)
    log DeepBranchCancelled()


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
    assert msg.sender == self.pendingOwner and msg.sender != empty(address), "not offered"
    self.owner = msg.sender
    self.pendingOwner = empty(address)
    log OwnershipTaken(owner=msg.sender)

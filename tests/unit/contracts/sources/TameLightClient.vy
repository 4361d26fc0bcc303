# pragma version 0.4.3
# pragma evm-version prague
"""
@title TameLightClient
@notice A light client for tests of the Bridge: what is on the best chain, how deep, is set by hand;
        inclusion is computed as in PowLightClient.
"""

heights: HashMap[bytes32, uint256]  # height + 1
buriedHeight: public(uint256)
deepReorgs: public(uint256)


@external
def put(hash: bytes32, height: uint256):
    self.heights[hash] = height + 1


@external
def drop(hash: bytes32):
    self.heights[hash] = 0


@external
def bury(height: uint256):
    self.buriedHeight = height


@external
def setDeepReorgs(count: uint256):
    self.deepReorgs = count


@external
@view
def verifyInclusion(
    header: Bytes[80], leaf: bytes32, index: uint256, branch: DynArray[bytes32, 14]
) -> uint256:
    assert len(header) == 80, "size"
    assert index >> len(branch) == 0, "index"
    root: bytes32 = extract32(header, 36)
    assert root != empty(bytes32), "zero"
    height: uint256 = self.heights[sha256(sha256(header))]
    assert height != 0, "not on the best chain"
    node: bytes32 = leaf
    at: uint256 = index
    for sibling: bytes32 in branch:
        if at & 1 == 1:
            assert sibling != node, "duplicate"
            node = sha256(sha256(concat(sibling, node)))
        else:
            node = sha256(sha256(concat(node, sibling)))
        at >>= 1
    assert node == root, "root"
    return height - 1

"""Network identity and EIP-2124 fork ids, with that EIP's own test cases."""

import pytest

from ioex_chain.crypto.hashes import tagged_hash
from ioex_chain.spec.identity import (
    ForkId,
    ForkMismatch,
    check_fork_id,
    fork_id,
    magic,
    network_id,
)

ETHEREUM = bytes.fromhex("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3")
FORKS = (1_150_000, 1_920_000, 2_463_000, 2_675_000, 4_370_000, 7_280_000)


@pytest.mark.parametrize(
    ("head", "checksum", "following"),
    [
        (0, "fc64ec04", 1_150_000),
        (1_149_999, "fc64ec04", 1_150_000),
        (1_150_000, "97c2c34c", 1_920_000),
        (1_920_000, "91d1f948", 2_463_000),
        (2_463_000, "7a64da13", 2_675_000),
        (2_675_000, "3edd5b10", 4_370_000),
        (4_370_000, "a00bc324", 7_280_000),
        (7_280_000, "668db0af", 0),
        (7_987_396, "668db0af", 0),
    ],
)
def test_fork_ids_of_eip_2124(head, checksum, following):
    assert fork_id(ETHEREUM, FORKS, head) == ForkId(bytes.fromhex(checksum), following)


@pytest.mark.parametrize(
    ("head", "checksum", "following", "good"),
    [
        (7_987_396, "668db0af", 0, True),
        (7_987_396, "668db0af", 2**64 - 1, True),
        (7_279_999, "a00bc324", 0, True),
        (7_279_999, "a00bc324", 7_280_000, True),
        (7_279_999, "a00bc324", 2**64 - 1, True),
        (7_987_396, "a00bc324", 7_280_000, True),
        (7_987_396, "3edd5b10", 4_370_000, True),
        (7_279_999, "668db0af", 0, True),
        (4_369_999, "a00bc324", 0, True),
        (7_987_396, "a00bc324", 0, False),
        (7_987_396, "5cddc0e1", 0, False),
        (7_279_999, "5cddc0e1", 0, False),
        (7_987_396, "afec6b27", 0, False),
        (88_888_888, "668db0af", 88_888_888, False),
        (7_279_999, "a00bc324", 7_279_999, False),
    ],
)
def test_validation_cases_of_eip_2124(head, checksum, following, good):
    peer = ForkId(bytes.fromhex(checksum), following)
    if good:
        check_fork_id(ETHEREUM, FORKS, head, peer)
        return
    with pytest.raises(ForkMismatch):
        check_fork_id(ETHEREUM, FORKS, head, peer)


def test_identity_covers_both_chains_in_order():
    one, two = bytes([1]) * 32, bytes([2]) * 32
    assert network_id(one, two) == tagged_hash("ioeX/network", one + two)
    assert len({network_id(one, two), network_id(two, one), network_id(one, one), network_id(two, two)}) == 4
    assert magic(network_id(one, two)) == network_id(one, two)[:4]

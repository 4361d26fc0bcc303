"""What every other layer is written in: named byte strings, bounded codecs, the Merkle tree, the clock."""

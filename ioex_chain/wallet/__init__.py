"""Keys, addresses and coins of one user. Knows the chain only through the `ChainSource` it is given."""

"""One synchronous, single-writer ledger for both chains: header tree, choice, state, undo, one write."""

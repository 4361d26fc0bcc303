"""The Ethereum side of the DPoS chain: state, transactions, execution. It knows no consensus and no peers."""

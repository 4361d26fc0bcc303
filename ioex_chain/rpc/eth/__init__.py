"""The DPoS chain's port: Ethereum's JSON-RPC, tracing, subscriptions, and the `ioex_*` methods."""

"""The PoW chain's methods, one file per group; `table` puts them together."""

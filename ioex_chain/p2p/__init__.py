"""Peers: identity, encrypted connections, messages, address book, misbehaviour. Knows no chain's rules."""

"""Hashes, secp256k1 and addresses: thin names over libraries, nothing invented."""

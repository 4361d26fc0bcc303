"""What peers of the PoW chain tell each other: headers, blocks, transactions. No I/O, no clock of its own."""

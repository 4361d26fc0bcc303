"""The DPoS chain: formats, schedule, seals, finality, machine, mempool. Async shell: producer."""

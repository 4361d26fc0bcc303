"""What spans both chains: deposit proofs, settlements, solvency, relayer (docs/protocol.md section 6)."""

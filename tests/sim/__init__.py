"""A deterministic simulation: whole networks of the real node in one process and one thread, in virtual time.

Everything that a run does follows from its seed. `docs/simulation.md` says how to use it.
"""

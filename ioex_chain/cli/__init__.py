"""The command `ioex`: one file per group of commands."""

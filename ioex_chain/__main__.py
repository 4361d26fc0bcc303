"""`python -m ioex_chain`."""

from ioex_chain.cli.entry import main

if __name__ == "__main__":
    main()

"""Where the command starts. Worker processes import this module again, so it imports nothing by itself."""


def main() -> None:
    """Run the command line."""
    from ioex_chain.cli.main import app

    app()

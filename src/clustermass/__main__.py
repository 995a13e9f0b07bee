"""`python -m clustermass` is the command `clustermass`."""

import sys


def main() -> int:
    """Run the command, and return its exit status. Ctrl-C while libraries are loaded prints no traceback."""
    try:
        from clustermass.cli import main as command
    except KeyboardInterrupt:
        return 130
    return command()


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tidemill``: the command line of this very interpreter."""

from tidemill.cli import main

if __name__ == "__main__":
    main()

"""`python -m edgecache`: the command line."""

from edgecache.cli.main import main

if __name__ == "__main__":
    main()

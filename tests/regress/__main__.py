"""`python -m tests.regress [BASE] [--short] [--json]`: what this tree does worse than the commit BASE, in simulation.

Without BASE: the commit that EDGECACHE_BASE names, else the last one if the tree differs from it, else the one before.
Exit code 1 when a figure is worse than its limit, 2 when there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.regress.comparison import changes, table
from tests.regress.versions import ROOT, NoBase, check_out, default_base, measured


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.regress", description=__doc__)
    parser.add_argument("base", nargs="?", help="a commit")
    parser.add_argument("--short", action="store_true", help="few small scenarios: ten seconds instead of minutes")
    parser.add_argument("--json", action="store_true", help="for programs")
    wanted = parser.parse_args(arguments)
    form = "short" if wanted.short else "full"
    try:
        base = wanted.base or default_base()
        with tempfile.TemporaryDirectory(prefix="edgecache-base-") as place:
            commit = check_out(base, Path(place))
            before = measured(Path(place), form)
        found = changes(before, measured(ROOT, form))
    except NoBase as reason:
        sys.stderr.write(f"nothing to compare with: {reason}\n")
        return 2
    if wanted.json:
        sys.stdout.write(json.dumps({"base": commit, "changes": [asdict(one) for one in found]}, indent=1) + "\n")
    else:
        sys.stdout.write(f"base: {base} ({commit[:12]})\n\n{table(found)}\n")
    return int(any(one.worse for one in found))


if __name__ == "__main__":
    raise SystemExit(main())

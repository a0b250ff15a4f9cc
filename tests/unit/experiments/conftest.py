"""The scripts of experiments/ as modules. A source archive lacks them: there is nothing to test then."""

import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[3] / "experiments"
collect_ignore_glob = [] if (SCRIPTS / "report.py").is_file() else ["test_*.py"]
if str(SCRIPTS) not in sys.path:
    sys.path.append(str(SCRIPTS))

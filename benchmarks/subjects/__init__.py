"""What the benchmarks measure: `table.SUBJECTS` has for each task its subjects. A subject is called
with the task's name and a folder of its own, and makes the function whose seconds count. What only
some machines have is imported when a subject needs it.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = [str(ROOT), str(ROOT / "data"), str(ROOT / "python")]
sys.path[:0] = CODE     # what is measured is this checkout, whatever is installed

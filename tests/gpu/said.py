"""The lines by which a part tells check.py what it found, and their reading."""

import json
from typing import Any

FOUND, FAILED = "FOUND ", "FAILED "     # how they begin
LAST_LINES = 30     # of all others, that are kept


def understood(output: str) -> dict[str, Any]:
    """What a part has found, of each name the last, and what failed; the end of its output."""
    lines = output.splitlines()
    found: dict[str, Any] = {}
    told: list[str] = []
    for line in lines:
        if line.startswith(FOUND):
            entry = json.loads(line.removeprefix(FOUND))
            told.append(entry.pop("told"))
            found.update(entry)
    others = [line for line in lines if not line.startswith(FOUND)]
    return {"told": told, "found": found,
            "failures": [line.removeprefix(FAILED) for line in lines if line.startswith(FAILED)],
            "last_lines": others[-LAST_LINES:]}

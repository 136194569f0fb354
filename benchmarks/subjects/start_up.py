"""How long a fresh interpreter takes to import what is asked for."""

import os
import subprocess
import sys

from subjects import CODE


def running(code):
    """A subject that runs `code` in a fresh interpreter."""
    def subject(task, folder):
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=folder,
                                      env={**os.environ, "PYTHONPATH": ":".join(CODE)})
    return subject

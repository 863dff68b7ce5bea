"""Starts a program that dies with the process that started it: `python -I launch.py PARENT PROGRAM ARGUMENT...`.

PR_SET_PDEATHSIG survives `exec`. It is set here and not between fork and exec of the parent, where Python code may not run
beside threads. Standard library only, and not imported by anything.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, program = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have ended before the line above took effect.
    if os.getppid() != parent:
        sys.exit(f"the process {parent} that wanted {program} is gone")
    os.execv(program, sys.argv[2:])

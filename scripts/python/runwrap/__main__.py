"""Becomes the program of this installation: the same process, with the same signals, standard streams and exit status."""

import os
import signal
import sys
import sysconfig


def find_program():
    """The program that pip installed with this module, which need not be the first one on the PATH."""
    package = os.path.dirname(os.path.abspath(__file__))
    folders = [
        # pip install --target DIR: DIR/runwrap and DIR/bin.
        os.path.join(package, "..", "bin"),
        # Else: PREFIX/lib/pythonX.Y/site-packages/runwrap and PREFIX/bin.
        os.path.join(package, "..", "..", "..", "..", "bin"),
        sysconfig.get_path("scripts"),
    ]
    programs = [os.path.join(os.path.realpath(folder), "runwrap") for folder in folders]
    for program in programs:
        if os.access(program, os.X_OK):
            return program
    sys.exit("runwrap: there is no program at " + ", ".join(programs) + "; install the package again")


if __name__ == "__main__":
    PROGRAM = find_program()
    # Python ignores these two when it starts, and the command would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execv(PROGRAM, [PROGRAM] + sys.argv[1:])

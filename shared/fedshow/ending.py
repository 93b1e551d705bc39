"""How the program ends: exit codes, and the one line of an error with what to type next.

0 done, 1 it failed, 2 the input is wrong; 130 after Ctrl-C and 141 when nobody reads the output any more,
which are the shell's own numbers for programs that end so.
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from fedshow.colour import Colour, coloured
from fedshow.errors import FedshowError, first_line

FAILED = 1
INTERRUPTED = 130
NO_READER = 141
DEBUG_VARIABLE = "FEDSHOW_DEBUG"

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NO_MEMORY = ("MemoryError", "OutOfMemoryError")
"""By name: torch, whose error the second is, may not be imported."""


def exit_code_of(program: Callable[[], object]) -> int:
    """Runs the program and says how it ended; whatever went wrong is told on stderr in one line."""
    try:
        code = _run(program)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return NO_READER
    except Exception as error:
        _tell(error)
        return error.exit_code if isinstance(error, FedshowError) else FAILED
    return code


def _run(program: Callable[[], object]) -> int:
    try:
        program()
    except SystemExit as ended:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # click met the broken pipe first
            raise BrokenPipeError from None
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _forget_output() -> None:
    """What is left in buffers goes nowhere, and Python does not complain of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):  # no real file
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _tell(error: Exception) -> None:
    with suppress(BrokenPipeError):
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exception(error)
            return
        says, next_step = sentence(error)
        mark = coloured("fedshow:", Colour.RED, sys.stderr)
        more = f"; next: {next_step}" if next_step else ""
        print(f"{mark} {says}{more}", file=sys.stderr)


def sentence(error: Exception) -> tuple[str, str]:
    """What happened, for people, and what to type next; errors that are not ours are put into words."""
    if isinstance(error, FedshowError):
        return str(error), error.next_step
    if isinstance(error, ModuleNotFoundError) and error.name:
        from fedshow.packages import install_command

        return f"the package {error.name} is not here", install_command(error.name)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = f" for {error.filename}" if error.filename else ""
        return f"no room is left on the disk{where}", "free some; fedshow doctor lists the disks"
    if isinstance(error, PermissionError) and error.filename:
        return f"{error.filename} is not yours to use", f"see whose it is: ls -ld {error.filename}"
    if any(kind.__name__ in NO_MEMORY for kind in type(error).__mro__):
        says = f"out of memory: {first_line(error)}"
        return says, "see what is free: fedshow doctor; --device cpu takes the machine's memory"
    return f"{type(error).__name__}: {error} (--debug shows more)", ""

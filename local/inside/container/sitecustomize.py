"""In a container: forbids shared memory, and sets the function's ARN, for which AWS's emulator has a fixed region.

Python imports this by itself, before the runtime. Without FUNCTION_ARN there is no ARN to set.
"""

import contextlib
import os
import sys

import shm

shm.forbid()
if arn := os.environ.pop("FUNCTION_ARN", ""):
    sys.path.insert(0, "/var/runtime")
    with contextlib.suppress(ImportError):
        from awslambdaric.lambda_context import LambdaContext

        emulated = LambdaContext.__init__

        def __init__(self, *arguments, **named):
            emulated(self, *arguments, **named)
            self.invoked_function_arn = arn

        LambdaContext.__init__ = __init__
    sys.path.remove("/var/runtime")

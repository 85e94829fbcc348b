"""The runtime of an execution environment: AWS's runtime client, which gets its invokes over a socket.

Usage: python start.py HANDLER SOCKET LIFELINE STORAGE READ_ONLY
SOCKET and LIFELINE are file descriptors, STORAGE is the size of /tmp in megabytes (0 if the system does not allow
mounts), READ_ONLY is a list of directories in the form of PATH.

AWS's code (awslambdaric) imports the handler, builds event, context and logging, and formats errors. Only its
connection to the Lambda Runtime API is replaced, so that its compiled part, which exists for Linux only, is not needed.
Everything that relies on its internals is in this file.

A request is `REQUEST`, a JSON list (request id, trace id, ARN, deadline in milliseconds since the epoch, client
context, tenant) and the event. A reply is `REPLY` and JSON.
"""

import os
import resource
import signal
import struct
import sys

READ_FROM = "4.2.2"  # the version of awslambdaric

REQUEST = struct.Struct("!II")  # bytes of the fields, bytes of the event
REPLY = struct.Struct("!cQQQ")  # its kind, the two figures of `_Memory`, bytes that follow
READY, RESULT, ERROR, INIT_ERROR = b"R", b"A", b"E", b"I"


def main(handler, connection, line, storage, read_only):
    import confinement
    import lifeline
    from container import shm

    if storage:  # while there is one thread: with more, user namespaces are refused
        confinement.mount(read_only, [sys.prefix, sys.base_prefix, os.path.dirname(__file__)], storage)
    marker = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"].rpartition("]")[2]
    for descriptor in (connection, line):
        os.set_inheritable(descriptor, False)
    # A child that held the socket open would keep the server from seeing this process end.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.register_at_fork(after_in_child=lambda: os.dup2(nothing, connection, inheritable=False))
    lifeline.watch(line, marker)
    shm.forbid()
    # The function can import nothing of this directory, nor the compiled part of AWS's client.
    for name in ("bootstrap", "lifeline", "confinement", "container", "container.shm"):
        del sys.modules[name]
    sys.path[0] = os.getcwd()
    sys.modules["runtime_client"] = None
    run, client = _runtime(connection)
    del sys.modules["runtime_client"]
    if not storage:
        confinement.refuse(read_only)
    run(handler, client)


def _runtime(connection):
    """AWS's bootstrap.run, and the client to run it with."""
    import json
    import logging

    from awslambdaric import bootstrap
    from awslambdaric.lambda_literals import lambda_unhandled_exception_warning_message
    from awslambdaric.lambda_runtime_client import BaseLambdaRuntimeClient, InvocationRequest

    # In a terminal, a traceback has lines; in CloudWatch, it is one event.
    bootstrap.ERROR_LOG_LINE_TERMINATE, bootstrap.ERROR_LOG_IDENT = "\n", " "

    def advice(record):
        """Drops the paragraph on runtime updates that precedes every error of an init: there are none here."""
        return record.msg != lambda_unhandled_exception_warning_message

    logging.getLogger().addFilter(advice)

    class Client(BaseLambdaRuntimeClient):
        """Newer clients pass more arguments than are needed here, hence the `**_`."""

        ready = False
        used = _Memory().used

        def wait_next_invocation(self, **_):
            if not self.ready:
                self.ready = True
                logging.getLogger().removeFilter(advice)
                self._reply(READY)
            fields, event = REQUEST.unpack(_read(connection, REQUEST.size))
            data = _read(connection, fields + event)
            id, trace, arn, deadline, client_context, tenant = json.loads(data[:fields])
            return InvocationRequest(
                invoke_id=id,
                x_amzn_trace_id=trace or None,
                invoked_function_arn=arn,
                deadline_time_in_ms=deadline,
                client_context=client_context,
                cognito_identity=None,
                tenant_id=tenant,
                content_type="application/json",
                event_body=data[fields:],
                invocation_id=None,
            )

        def post_invocation_result(self, invoke_id, result_data, *_, **__):
            self._reply(RESULT, result_data)

        def post_invocation_error(self, invoke_id, error_response_data, *_, **__):
            self._reply(ERROR, error_response_data)

        def post_init_error(self, error_response_data, *_, **__):
            self._reply(INIT_ERROR, bootstrap.to_json(error_response_data))

        def _reply(self, kind, data=b""):
            data = data if isinstance(data, bytes) else data.encode()
            data = REPLY.pack(kind, *self.used(), len(data)) + data
            if (written := os.write(connection, data)) < len(data):
                rest = memoryview(data)[written:]
                while rest:
                    rest = rest[os.write(connection, rest) :]

    return bootstrap.run, Client(None)


def _read(descriptor, count):
    """Reads `count` bytes. Takes a descriptor, since Python closes a socket object before the process exits."""
    data = os.read(descriptor, count)
    while len(data) < count:
        more = os.read(descriptor, count - len(data))
        while not more:
            signal.pause()  # the server has gone, and the lifeline ends this process
        data += more
    return data


class _Memory:
    """The peak memory of this process, and how much of it is pages of files that could be dropped; in kilobytes."""

    def __init__(self):
        try:
            self._status = os.open("/proc/self/status", os.O_RDONLY)
        except OSError:
            self._status, self._unit = None, 1024 if sys.platform == "darwin" else 1

    def used(self):
        if self._status is None:
            # This may be the server's peak, which the kernel passes on to a program that is started.
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak // self._unit, peak // self._unit
        return memory(os.pread(self._status, 8192, 0))


def memory(status):
    """The two figures of `_Memory` in the text of a /proc/PID/status. Raises IndexError for a process that has gone."""
    return tuple(int(status.split(name, 1)[1].split(None, 1)[0]) for name in (b"VmHWM:", b"RssFile:"))

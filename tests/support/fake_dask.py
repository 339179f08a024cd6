"""A Dask client without processes: a task runs when it is submitted, in this one."""

from __future__ import annotations

import asyncio
from itertools import count

from autorec_np.engine.threads import Workers


class FakeClient:
    """What `autorec_np.distributed` uses of a client; counts what workers are sent and send."""

    status = "running"

    def __init__(self, n_workers):
        self.addresses = [f"tcp://worker-{number}" for number in range(n_workers)]
        self.tasks = []
        self.numbers = count()

    def sync(self, function, *arguments, callback_timeout):
        return asyncio.run(function(*arguments))

    async def nthreads(self, asynchronous):
        return dict.fromkeys(reversed(self.addresses), 1)

    async def scatter(self, data, workers, direct, hash, asynchronous):
        assert (direct, hash, asynchronous) == (True, False, True)
        assert set(workers) <= set(self.addresses)
        return data

    def submit(self, function, *arguments, workers=None, pure, **others):
        assert not pure
        self.tasks.append((function.__name__, workers))
        arguments = [results_of(one) for one in arguments]
        others = {name: results_of(one) for name, one in others.items()}
        return Done(function(*arguments, **others))

    async def gather(self, futures, asynchronous, direct):
        assert direct
        return results_of(futures)


class Done:
    """A future of the past."""

    def __init__(self, result):
        self.result = result

    async def exception(self):
        return None


def results_of(value):
    if isinstance(value, list):
        return [results_of(one) for one in value]
    return value.result if isinstance(value, Done) else value


def worker_threads():
    return Workers(1)

"""The adversary: what it breaks, when, and what it mends again.

Three plagues go on side by side, each by a plan of its own that the seed
determines. Workers are killed or stopped at any time and in any number; of the
three servers no more than one is away at any moment, since a set of three does
not promise more.

    workers   kill -9; SIGSTOP for longer or shorter than a lease, then SIGCONT
    driver    kill -9
    servers   of the primary: kill -9, step-down, SIGSTOP, a network that swallows everything;
              of any member: connections that break, and messages that come late
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

from scripts.soaking.crew import LEASE_SECS, Crew
from tests.replica_set import ReplicaSet

# Seconds between two blows of a plague, on average.
WORKERS_PAUSE_SECS = 2.0
DRIVER_PAUSE_SECS = 30.0
SERVERS_PAUSE_SECS = 12.0

# How long one member of the set may be away; a partition of 30 seconds is among it.
AWAY_SECS = (2.0, 8.0)
PARTITION_SECS = (3.0, 30.0)


class Adversary:
    """Breaks things until it is told to cease.

    Args:
        crew, servers: its victims.
        seed: of its plans.

    Attributes:
        counts: how often it did what.
    """

    def __init__(self, crew: Crew, servers: ReplicaSet, seed: int) -> None:
        self._crew, self._servers = crew, servers
        self._ceased = threading.Event()
        self._failures: list[BaseException] = []
        self.counts: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._run, args=(plague, random.Random(f"{seed} {name}")))
            for name, plague in {
                "workers": self._plague_workers,
                "driver": self._plague_driver,
                "servers": self._plague_servers,
            }.items()
        ]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all plagues."""
        self._ceased.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def cease(self) -> None:
        """End all plagues, and mend what is broken. Raises what went wrong with the adversary."""
        self.stop()
        for worker in self._crew.workers:
            worker.go_on()
        self._servers.repair()
        if self._failures:
            raise self._failures[0]

    def _run(self, plague: Callable[[random.Random], None], rng: random.Random) -> None:
        try:
            plague(rng)
        except BaseException as failure:
            self._failures.append(failure)

    def _pause(self, secs: float) -> bool:
        """Wait; False when it is time to cease."""
        return not self._ceased.wait(secs)

    # --- workers and driver ---

    def _plague_workers(self, rng: random.Random) -> None:
        stopped: list[threading.Timer] = []
        while self._pause(rng.expovariate(1 / WORKERS_PAUSE_SECS)):
            worker = rng.choice(self._crew.workers)
            if rng.random() < 0.5:
                self.counts["workers killed"] += worker.kill()
                continue
            secs = rng.uniform(0.5, 2.5 * LEASE_SECS)
            if worker.stop():
                self.counts["workers stopped"] += 1
                self.counts["workers stopped beyond their lease"] += secs > LEASE_SECS
                stopped.append(threading.Timer(secs, worker.go_on))
                stopped[-1].start()
        for timer in stopped:
            timer.cancel()

    def _plague_driver(self, rng: random.Random) -> None:
        while self._pause(rng.expovariate(1 / DRIVER_PAUSE_SECS)):
            self.counts["drivers killed"] += self._crew.driver.kill()

    # --- servers ---

    def _plague_servers(self, rng: random.Random) -> None:
        blows = {
            self._kill_primary: 3,
            self._step_down: 3,
            self._freeze_primary: 2,
            self._silence_primary: 2,
            self._break_connections: 8,
            self._delay: 4,
        }
        while self._pause(rng.expovariate(1 / SERVERS_PAUSE_SECS)):
            [blow] = rng.choices(list(blows), weights=list(blows.values()))
            blow(rng)

    def _kill_primary(self, rng: random.Random) -> None:
        primary = self._servers.primary()
        self.counts["primaries killed"] += 1
        self._servers.kill(primary)
        self._pause(rng.uniform(*AWAY_SECS))
        self._servers.start(primary)
        self._servers.wait_until_whole()

    def _step_down(self, rng: random.Random) -> None:
        self.counts["primaries stepped down"] += 1
        self._servers.wait_until_whole()
        self._servers.step_down()
        self._servers.wait_until_whole()

    def _freeze_primary(self, rng: random.Random) -> None:
        primary = self._servers.primary()
        self.counts["primaries frozen"] += 1
        self._servers.freeze(primary)
        self._pause(rng.uniform(*PARTITION_SECS))
        self._servers.thaw(primary)
        self._servers.wait_until_whole()

    def _silence_primary(self, rng: random.Random) -> None:
        primary = self._servers.primary()
        self.counts["primaries cut off"] += 1
        if primary.proxy is not None:
            primary.proxy.silence()
            self._pause(rng.uniform(*PARTITION_SECS))
            primary.proxy.mend()
        self._servers.wait_until_whole()

    def _break_connections(self, rng: random.Random) -> None:
        proxy = rng.choice(self._servers.members).proxy
        if proxy is not None:
            self.counts["connections broken"] += proxy.drop(rng.uniform(0.1, 1.0), rng)

    def _delay(self, rng: random.Random) -> None:
        proxy = rng.choice(self._servers.members).proxy
        if proxy is not None:
            self.counts["times of slow messages"] += 1
            proxy.delay_secs = rng.uniform(0.01, 0.15)
            self._pause(rng.uniform(1.0, 5.0))
            proxy.mend()

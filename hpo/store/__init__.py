"""Where trial documents live: the protocol, a store in memory, a store on MongoDB."""

from hpo.store.base import Experiment, Horizon, Store, Watch, WorkerPresence
from hpo.store.memory import MemoryStore

__all__ = ["Experiment", "Horizon", "MemoryStore", "Store", "Watch", "WorkerPresence"]

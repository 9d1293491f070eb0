"""hyperopt's import path `mongoexp`: trials and workers that share a MongoDB database."""

from hpo.exceptions import InvalidTrial as InvalidMongoTrial
from hpo.exceptions import SpaceChanged as DomainSwapError
from hpo.exceptions import StoreError as OperationFailure
from hpo.legacy.mongo_trials import MongoTrials
from hpo.legacy.mongo_url import as_mongo_str, parse_url
from hpo.legacy.mongo_worker import MongoCtrl, MongoWorker, ReserveTimeout
from hpo.legacy.worker_main import main, main_worker, main_worker_helper
from hpo.store.mongo.jobs import MongoJobs

__all__ = [
    "DomainSwapError",
    "InvalidMongoTrial",
    "MongoCtrl",
    "MongoJobs",
    "MongoTrials",
    "MongoWorker",
    "OperationFailure",
    "ReserveTimeout",
    "as_mongo_str",
    "main",
    "main_worker",
    "main_worker_helper",
    "parse_url",
]

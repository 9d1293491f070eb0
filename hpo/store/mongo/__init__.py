"""Trials in MongoDB: the only place that knows pymongo, GridFS and BSON."""

from hpo.store.mongo.store import MongoStore

__all__ = ["MongoStore"]

"""Documents in the collection of trials that are none: set aside, and named.

Whoever meets one passes it by. It is named in the log, once by each process,
and in the document itself under `set_aside`; one that a worker had claimed
becomes ERROR, so that no worker claims it again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from pymongo.collection import Collection as MongoCollection

from hpo.defects import defect, is_count
from hpo.document import Document, cancelled_stub
from hpo.exceptions import StoreError, UnstorableResult
from hpo.store.base import Horizon
from hpo.store.mongo import queries
from hpo.store.mongo.failures import Patience

logger = logging.getLogger(__name__)


class Aside:
    """Tells trials from what is none, and remembers what it has named."""

    def __init__(self, jobs: MongoCollection[Document], patiently: Patience) -> None:
        self._jobs, self._patiently = jobs, patiently
        self._named: set[str] = set()

    def sound(
        self, documents: Iterable[Document], fields: Collection[str] | None = None
    ) -> Iterator[Document]:
        """Yield the documents that are trials.

        Args:
            fields: what was fetched of them; None: all of it.
        """
        for document in documents:
            if (why := defect(document, fields)) is None:
                yield document
            else:
                self._name(document, why)

    def followed(
        self, document: Document, fields: Collection[str] | None, horizon: Horizon
    ) -> Document | None:
        """The document if it is a trial; else None, or the end of the trial that it was.

        Args:
            document: with its `_id`.
        """
        why = defect(document, fields)
        if why is None and "number" not in document:
            why = "it has no number"
        if why is None:
            return document
        self._mark(document, why)
        number: Any = document.get("number")
        if is_count(number):
            # The next look need not meet it again.
            horizon.next_number = max(horizon.next_number, int(number) + 1)
        tid = document.get("tid")
        for known in horizon.new | horizon.running:
            if known == tid:
                # Somebody spoilt it since: nobody need wait for it any more.
                return cancelled_stub(known, number=horizon.next_number - 1)
        return None

    def end(self, document: Document, why: str) -> None:
        """Name a document that was claimed, and let nobody claim it again."""
        self._name(document, why)
        query = queries.held_document(document)
        try:
            self._patiently(lambda: self._jobs.update_one(query, queries.set_aside(why)))
        except UnstorableResult:
            self._patiently(lambda: self._jobs.update_one(query, queries.END_IN_PLACE))

    def end_unclaimable(self, query: queries.Filter, why: str) -> bool:
        """Let nobody try again to claim the first document that matches; whether there was one."""
        found = self._patiently(
            lambda: self._jobs.find_one_and_update(
                query, queries.END_IN_PLACE, {"tid": 1, "exp_key": 1}, sort=queries.BY_TID
            )
        )
        if found is not None:
            self._name(found, why)
        return found is not None

    def count(self, exp_key: str | None, *, all_experiments: bool = False) -> int:
        """How many documents are set aside, or would be if anybody met them."""
        query = queries.aside(exp_key, all_experiments=all_experiments)
        return self._patiently(lambda: self._jobs.count_documents(query))

    def _mark(self, document: Document, why: str) -> None:
        if self._name(document, why):
            query = {"_id": {"$eq": document["_id"]}}
            try:
                self._patiently.once(
                    lambda: self._jobs.update_one(query, queries.marked_aside(why))
                )
            except (StoreError, UnstorableResult) as error:
                logger.debug("cannot mark the document: %s", error)

    def _name(self, document: Document, why: str) -> bool:
        """Warn of a document, unless that was done; whether it was not."""
        name = f"_id {document['_id']!r}" if "_id" in document else f"tid {document.get('tid')!r}"
        if name in self._named:
            return False
        self._named.add(name)
        logger.warning(
            "set aside: a document that is no trial, %s: %s. Mend or remove it",
            _described(name, document),
            why,
        )
        return True


def _described(name: str, document: Document) -> str:
    shown: list[Any] = [name[:80]]
    if "_id" in document and "tid" in document:
        shown.append(f"tid {document['tid']!r}"[:80])
    if "exp_key" in document:
        shown.append(f"experiment {document['exp_key']!r}"[:80])
    return ", ".join(shown)

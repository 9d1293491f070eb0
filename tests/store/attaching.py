"""A program that rewrites and removes attachments, and is killed at every moment of that.

python -m tests.store.attaching URL
"""

from __future__ import annotations

import sys
from contextlib import closing

from hpo.document import new_trial
from hpo.store.mongo import MongoStore
from tests.dying import die_at, in_a_child

# Several chunks of 255 KB.
OLD, NEW = b"o" * 700_000, b"n" * 700_000


def work(url: str, moment: int) -> None:
    with closing(MongoStore.connect(url)) as store:
        trial = next(store.find("digits"))
        # The second experiment is made whole, and removed while the end is near.
        (tid,) = store.allocate_tids(1)
        iris = new_trial(tid, exp_key="iris")
        store.insert([iris])
        store.trial_attachments(iris)["model"] = OLD
        die_at(moment)
        store.attachments("digits")["weights"] = NEW
        store.trial_attachments(trial)["model"] = NEW
        store.attachments("iris")["weights"] = NEW
        store.put_objective("iris", "0" * 64, NEW)
        store.delete("iris")


def main() -> None:
    url, moment = sys.argv[1], 1
    while in_a_child(work, url, moment) != 0:
        moment += 1
    print(moment)


if __name__ == "__main__":
    main()

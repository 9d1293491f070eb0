"""Read a database of ours with hyperopt itself, and print what it sees as JSON.

Run by the python of an environment with hyperopt 0.3 and pymongo 3, without
anything of ours: hyperopt_reader.py URL EXP_KEY, the URL in pymongo's form.
"""

import json
import math
import sys


def see(url, exp_key):
    """What hyperopt's MongoTrials makes of an experiment."""
    import gridfs
    import pymongo
    from hyperopt.mongoexp import MongoJobs, MongoTrials

    # MongoTrials logs in by a command that MongoDB no longer has; pymongo's URL still works.
    connection = pymongo.MongoClient(url)
    database = connection.get_default_database()
    jobs = MongoJobs(database, database.jobs, gridfs.GridFS(database), connection, None, "spec")
    trials = MongoTrials(jobs, exp_key=exp_key)
    attached = trials.trial_attachments(trials.trials[0])
    return {
        "tids": trials.tids,
        "losses": [_readable(loss) for loss in trials.losses()],
        "statuses": trials.statuses(),
        "vals": trials.vals,
        "best_tid": trials.best_trial["tid"],
        "argmin": trials.argmin,
        "counts": [trials.count_by_state_unsynced(state) for state in range(5)],
        "errors": [list(job["error"]) for job in jobs.jobs_error()],
        "attachment": attached["weights"].decode(),
        "experiment_attachment": trials.attachments["notes"].decode(),
        "next_tids": trials.new_trial_ids(2),
    }


def _readable(loss):
    """JSON has no NaN."""
    return "nan" if isinstance(loss, float) and math.isnan(loss) else loss


if __name__ == "__main__":
    json.dump(see(*sys.argv[1:]), sys.stdout)

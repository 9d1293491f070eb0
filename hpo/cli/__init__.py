"""The `hpo` command: serve a MongoDB, look at experiments, put them in order.

    hpo serve --dir D            run the embedded MongoDB for workers elsewhere
    hpo role URL --user worker   a login with which workers can do no harm
    hpo key                      the key that signs objectives

    hpo status URL               how far every experiment is
    hpo best URL digits          its best trials
    hpo trials URL digits        its latest trials
    hpo replay URL digits 17     the suggestion of a trial, computed again

    hpo requeue URL              hand out again what dead workers held
    hpo rm URL digits            remove an experiment
    hpo gc URL                   remove what killed processes left behind

They stand in `serving`, `showing` and `upkeep`; `command` is the command
line, and `console` what they share.

Everything that reads or changes trials goes through the verbs of a `Store`;
here is only parsed, asked and printed.
"""

from hpo.cli.command import main

__all__ = ["main"]

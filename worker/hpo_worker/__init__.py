"""hpo-worker: the process that evaluates trials.

    hpo-worker --mongo mongodb://head-node/digits --exp-key digits

A worker claims a trial, has a child process call the objective, and writes the
result back; meanwhile it renews the trial's lease.

    cli         options, exit codes, logging
    loop        the worker: claim, evaluate, write the end, next
    desk        what a running objective may ask of its worker
    heartbeat   the thread that keeps the lease and the worker's presence alive
    stopping    signals
    evaluator   the parent's side: a child process, or this process itself
    child       the child's side
    evaluation  one trial, in whichever process evaluates it
    outcome     how an evaluation can end

`hpo` never imports this package; both speak through the trial documents.
"""

"""hpo-worker: the process that evaluates trials.

    hpo-worker --mongo mongodb://head-node/digits --exp-key digits

A worker claims a trial, has a child process call the objective, and writes the
result back; meanwhile it renews the trial's lease.

    cli          options, exit codes, logging
    quantities   durations, moments and sizes as people write them
    loop         the worker: claim, evaluate, write the end, next
    limits       when it stops by itself
    bookkeeping  how a trial's end gets into its document
    spool        ends on disk while the server is away
    desk         what a running objective may ask of its worker
    heartbeat    the thread that keeps the lease and the worker's presence alive
    stopping     signals
    evaluator    the parent's side: a child process, or this process itself
    output       what the child prints
    processes    what the child starts
    child        the child's side
    evaluation   one trial, in whichever process evaluates it
    outcome      how an evaluation can end

`hpo` never imports this package; both speak through the trial documents.
"""

"""A search that is broken on purpose for minutes, and an audit of what is left of it.

    crew         sixteen workers and a driver, as processes that are started again when they die
    adversary    kills and stops them and the three servers, breaks the network between
    objective    what they compute; every evaluation leaves a line in the side log
    sidelog      what really happened, as no database can know it
    auditor      compares the documents with the side log and names every breach of a promise
    clocks       workers whose clocks are hours off

`scripts/soak` runs it; the same seed makes the same plans.
"""

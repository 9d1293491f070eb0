"""What hyperopt's modules offered beyond what hpo itself needs, for code that imports it.

idxs_vals     the encoding of many configurations as columns; plain data for BSON
history       small numerical routines over trials
checks        validation of fmin's limits
symbols       a dotted name as the object it names
directories   working in a directory that may have to be made and erased
mongo_url     a database's address taken apart
mongo_trials  MongoTrials whose handle is a MongoJobs
mongo_worker  a worker as an object in this process
worker_main   hpo-worker, called from Python

The faces `hpo.base`, `hpo.utils` and `hpo.mongoexp` lend these their old import paths.
"""

"""Expressions: values that are computed later, perhaps elsewhere, from hyperparameters.

    graph               Apply, Literal, as_apply: the nodes
    traversal           dfs, toposort, clone: walks and copies
    printing, pickling  graphs as text and as bytes, however deep
    symbols             scope: the operations by name
    evaluate            rec_eval: the value of a node
    evaluator           ExprEvaluator: the same in steps that a subclass can take over
    builtins            arithmetic, containers, switch, calls
    functions           Lambda, partial
    stochastic          the distributions, sample

The names and their meanings are those of hyperopt.pyll.
"""

from hpo.pyll import stochastic
from hpo.pyll.builtins import hyperopt_param
from hpo.pyll.evaluate import Evaluation, GarbageCollected, rec_eval
from hpo.pyll.functions import Lambda
from hpo.pyll.graph import Apply, Literal, MissingArgument, apply, as_apply
from hpo.pyll.symbols import SymbolTable, scope
from hpo.pyll.traversal import clone, clone_merge, dfs, toposort

# What is defined up to here exists wherever hpo does; later symbols travel with a pickled space.
scope.seal_builtins()

__all__ = [
    "Apply",
    "Evaluation",
    "GarbageCollected",
    "Lambda",
    "Literal",
    "MissingArgument",
    "SymbolTable",
    "apply",
    "as_apply",
    "clone",
    "clone_merge",
    "dfs",
    "hyperopt_param",
    "rec_eval",
    "scope",
    "stochastic",
    "toposort",
]

"""TPE's estimators as operations of expressions, for code that looks inside or builds on them.

    draws = adaptive_parzen_samplers["uniform"](observed, 1.0, low=0, high=1, size=(24,))
    log_l = scope.GMM1_lpdf(draws, *draws.pos_args, low=0, high=1)
    x, log_l_of_x = sample(as_apply([draws, log_l]), rng)   # 24 candidates and their densities

Loading this package enters the operations in `scope`. `hpo.tpe.suggest` does
without them: it calls `hpo.surrogate`, which computes them here as well.

    mixtures   GMM1, LGMM1: mixtures of normals and log-normals, draws and densities
    lognormal  the distribution functions of single components
    bandwidth  from observations to a mixture
    samplers   the estimator of each kind of hyperparameter, as an expression
    choosing   which trials are good, which candidate is best

The names and arguments are those of hyperopt.tpe.
"""

from hpo.parzen_nodes.bandwidth import (
    DEFAULT_LF,
    adaptive_parzen_normal,
    adaptive_parzen_normal_orig,
    linear_forgetting_weights,
)
from hpo.parzen_nodes.choosing import ap_filter_trials, ap_split_trials, broadcast_best
from hpo.parzen_nodes.lognormal import (
    EPS,
    lognormal_cdf,
    lognormal_lpdf,
    normal_cdf,
    qlognormal_lpdf,
)
from hpo.parzen_nodes.mixtures import GMM1, LGMM1, GMM1_lpdf, LGMM1_lpdf, logsum_rows
from hpo.parzen_nodes.samplers import (
    adaptive_parzen_sampler,
    adaptive_parzen_samplers,
    ap_categorical_sampler,
    ap_loglognormal_sampler,
    ap_loguniform_sampler,
    ap_normal_sampler,
    ap_qlognormal_sampler,
    ap_qloguniform_sampler,
    ap_qnormal_sampler,
    ap_quniform_sampler,
    ap_randint_sampler,
    ap_uniform_sampler,
    categorical_lpdf,
    randint_via_categorical_lpdf,
)

__all__ = [
    "DEFAULT_LF",
    "EPS",
    "GMM1",
    "LGMM1",
    "GMM1_lpdf",
    "LGMM1_lpdf",
    "adaptive_parzen_normal",
    "adaptive_parzen_normal_orig",
    "adaptive_parzen_sampler",
    "adaptive_parzen_samplers",
    "ap_categorical_sampler",
    "ap_filter_trials",
    "ap_loglognormal_sampler",
    "ap_loguniform_sampler",
    "ap_normal_sampler",
    "ap_qlognormal_sampler",
    "ap_qloguniform_sampler",
    "ap_qnormal_sampler",
    "ap_quniform_sampler",
    "ap_randint_sampler",
    "ap_split_trials",
    "ap_uniform_sampler",
    "broadcast_best",
    "categorical_lpdf",
    "linear_forgetting_weights",
    "lognormal_cdf",
    "lognormal_lpdf",
    "logsum_rows",
    "normal_cdf",
    "qlognormal_lpdf",
    "randint_via_categorical_lpdf",
]

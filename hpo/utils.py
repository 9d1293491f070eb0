"""hyperopt's import path `utils`, for code that uses it."""

from hpo.legacy.directories import get_closest_dir, path_split_all, temp_dir, working_dir
from hpo.legacy.history import coarse_utcnow, fast_isin, get_most_recent_inds, pmin_sampled
from hpo.legacy.memo import use_obj_for_literal_in_memo
from hpo.legacy.symbols import get_obj, import_tokens, json_call, json_lookup, load_tokens

__all__ = [
    "coarse_utcnow",
    "fast_isin",
    "get_closest_dir",
    "get_most_recent_inds",
    "get_obj",
    "import_tokens",
    "json_call",
    "json_lookup",
    "load_tokens",
    "path_split_all",
    "pmin_sampled",
    "temp_dir",
    "use_obj_for_literal_in_memo",
    "working_dir",
]

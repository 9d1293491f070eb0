"""hyperopt's import paths `base` and `utils`: columns of values, checks, names, directories."""

from __future__ import annotations

import datetime
import os
import pickle
import sys

import bson
import numpy as np
import pytest

import hpo
from hpo import base, hp, pyll, utils
from hpo.exceptions import InvalidOption, InvalidTrial, PyllImportError

# --- the face ---------------------------------------------------------------------------


def test_the_names_of_the_package_are_the_same_things_under_base():
    same = ["Trials", "Domain", "Ctrl", "trials_from_docs", "STATUS_OK", "JOB_STATE_DONE"]

    assert all(getattr(base, name) is getattr(hpo, name) for name in same)


@pytest.mark.parametrize("module", [base, utils])
def test_a_face_lists_exactly_what_it_lends(module):
    lent = {name for name in vars(module) if not name.startswith("__")}

    assert lent == set(module.__all__)


# --- columns of values --------------------------------------------------------------------


def miscs_of(*tids):
    return [{"tid": tid, "cmd": None, "idxs": {}, "vals": {}} for tid in tids]


def test_columns_are_written_into_the_miscs_of_their_trials():
    miscs = miscs_of(7, 8)

    same = base.miscs_update_idxs_vals(
        miscs, idxs={"x": [7, 8], "y": [8]}, vals={"x": [0.5, 0.7], "y": [3]}
    )

    assert same is miscs
    assert miscs[0]["idxs"] == {"x": [7], "y": []}
    assert miscs[0]["vals"] == {"x": [0.5], "y": []}
    assert miscs[1]["vals"] == {"x": [0.7], "y": [3]}


def test_columns_come_back_from_the_miscs():
    idxs, vals = {"x": [7, 8], "y": [8]}, {"x": [0.5, 0.7], "y": [3]}

    miscs = base.miscs_update_idxs_vals(miscs_of(7, 8), idxs, vals)

    assert base.miscs_to_idxs_vals(miscs) == (idxs, vals)


def test_columns_may_use_other_ids_than_the_miscs():
    miscs = miscs_of("a")

    base.miscs_update_idxs_vals(miscs, {"x": [0]}, {"x": [0.5]}, idxs_map={0: "a"})

    assert miscs[0]["idxs"] == {"x": ["a"]}


def test_values_of_unknown_trials_are_refused_or_skipped():
    with pytest.raises(InvalidTrial, match="value for trial 9, which has no misc"):
        base.miscs_update_idxs_vals(miscs_of(7), {"x": [9]}, {"x": [0.5]})

    miscs = base.miscs_update_idxs_vals(
        miscs_of(7), {"x": [9]}, {"x": [0.5]}, assert_all_vals_used=False
    )
    assert miscs[0]["vals"] == {"x": []}


@pytest.mark.parametrize(
    "idxs, vals", [({"x": [7]}, {"y": [0.5]}), ({"x": [7]}, {"x": [0.5, 0.7]})]
)
def test_columns_that_do_not_fit_together_are_refused(idxs, vals):
    with pytest.raises(InvalidTrial):
        base.miscs_update_idxs_vals(miscs_of(7), idxs, vals)


def test_the_spec_of_a_misc_has_the_active_labels():
    misc = {"vals": {"x": [0.5], "y": []}}

    assert base.spec_from_misc(misc) == {"x": 0.5}


def test_a_label_with_several_values_has_no_spec():
    with pytest.raises(InvalidTrial, match="'x' has 2 values"):
        base.spec_from_misc({"vals": {"x": [0.5, 0.7]}})


# --- plain data -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, plain",
    [
        (1, 1),
        (1.5, 1.5),
        (np.float64(1.5), 1.5),
        (np.int32(3), 3),
        (np.bool_(True), True),
        (np.array(2.5), 2.5),
        (np.array([1, 2]), [1, 2]),
        (np.array([[1, 2], [3, 4.5]]), [[1, 2], [3, 4.5]]),
        (np.array(["a", "ccc"]), ["a", "ccc"]),
        ((np.int64(1), [np.float32(0.5)]), (1, [0.5])),
        ({"c": True, "d": {"e": np.arange(2)}}, {"c": True, "d": {"e": [0, 1]}}),
        (datetime.datetime(2030, 1, 1), datetime.datetime(2030, 1, 1)),
    ],
)
def test_numpy_becomes_plain_data_that_bson_takes(value, plain):
    converted = base.SONify(value)

    assert converted == plain
    assert type(converted) is type(plain)
    assert bson.encode({"value": converted})


def test_what_no_document_can_hold_is_refused():
    with pytest.raises(TypeError, match="is of type object"):
        base.SONify({"model": [object()]})


def test_an_object_id_stays():
    object_id = bson.ObjectId()

    assert base.SONify([object_id]) == [object_id]


# --- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 1, 0.5, np.float64(3)])
def test_a_positive_timeout_passes(timeout):
    base.validate_timeout(timeout)


@pytest.mark.parametrize("timeout", [0, -1, True, "3", [1]])
def test_any_other_timeout_is_refused(timeout):
    with pytest.raises(InvalidOption, match="should be None or a positive value"):
        base.validate_timeout(timeout)


@pytest.mark.parametrize("threshold", [None, -1, 0, 0.5])
def test_a_numeric_loss_threshold_passes(threshold):
    base.validate_loss_threshold(threshold)


@pytest.mark.parametrize("threshold", [True, "0", [1]])
def test_any_other_loss_threshold_is_refused(threshold):
    with pytest.raises(InvalidOption, match="loss_threshold argument should be None or a numeric"):
        base.validate_loss_threshold(threshold)


# --- literals -----------------------------------------------------------------------------------


def test_an_object_stands_in_for_the_literals_that_equal_a_value():
    class Marker:
        pass

    space = pyll.as_apply({"live": Marker, "x": hp.uniform("x", 0, 1), "array": np.arange(3)})

    memo = utils.use_obj_for_literal_in_memo(space, "the live one", Marker, {})
    memo |= {node: 0.5 for node in pyll.dfs(space) if node.name == "hyperopt_param"}

    assert pyll.rec_eval(space, memo=memo)["live"] == "the live one"


# --- small routines ----------------------------------------------------------------------------


def test_the_probability_of_being_least_is_that_of_two_normals():
    from scipy.stats import norm

    p = utils.pmin_sampled(np.array([0.0, 1.0]), np.array([1.0, 3.0]), n_samples=100_000)

    # P(X < Y) with X - Y normal: mean -1, variance 4.
    np.testing.assert_allclose(p, [norm.cdf(0.5), norm.cdf(-0.5)], atol=0.01)
    assert p.sum() == pytest.approx(1.0)


def test_membership_is_told_item_by_item():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 100, 40), rng.integers(0, 100, 60)

    assert utils.fast_isin(x, y).tolist() == [item in set(y.tolist()) for item in x.tolist()]
    assert utils.fast_isin(x, []).tolist() == [False] * 40


@pytest.mark.parametrize(
    "versions, newest",
    [
        ([(0, 1)], [0]),
        ([(0, 1), (0, 2)], [1]),
        ([(-1, 1), (0, 1), (0, 2), (1, 1)], [0, 2, 3]),
        ([(0, 2), (5, 1), (0, 1)], [0, 1]),
        ([(-1, 1), (0, 1), (0, 2), (0, 2)], [0, 3]),
        ([], []),
    ],
)
def test_the_newest_version_of_each_document_is_found(versions, newest):
    documents = [{"_id": key, "version": version} for key, version in versions]

    assert utils.get_most_recent_inds(documents).tolist() == newest


def test_now_has_whole_milliseconds_and_no_time_zone():
    now = utils.coarse_utcnow()

    assert now.tzinfo is None
    assert now.microsecond % 1000 == 0
    utc = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    assert abs(utc - now) < datetime.timedelta(seconds=5)


# --- names ------------------------------------------------------------------------------------


def test_a_name_is_imported_as_far_as_it_is_modules():
    assert utils.import_tokens(["os", "path", "join"]) == (os.path, ["join"])
    assert utils.import_tokens(["json"]) == (sys.modules["json"], [])
    assert utils.import_tokens(["no_such_module", "x"]) == (None, ["no_such_module", "x"])


def test_a_dotted_name_is_called():
    assert utils.load_tokens(["os", "path", "join"]) is os.path.join
    assert utils.json_lookup("collections.OrderedDict").__name__ == "OrderedDict"
    assert utils.json_call("math.hypot", (3, 4)) == 5.0
    assert utils.json_call("builtins.dict", kwargs={"a": 1}) == {"a": 1}


def test_a_pickle_brings_further_arguments(tmp_path):
    stored = pickle.dumps({"args": (4,)})
    (tmp_path / "arguments.pkl").write_bytes(pickle.dumps({"kwargs": {"a": 1}}))

    assert utils.get_obj("math.hypot", argstr=stored, args=(3,)) == 5.0
    assert utils.get_obj(
        "builtins.dict", argfile=tmp_path / "arguments.pkl", kwargs={"a": 0, "b": 2}
    ) == {"a": 1, "b": 2}


def test_a_name_that_leads_nowhere_says_at_which_word():
    with pytest.raises(PyllImportError, match="no module 'no_such_module'"):
        utils.load_tokens(["no_such_module", "x"])
    with pytest.raises(PyllImportError, match="no attribute 'nowhere'"):
        utils.load_tokens(["os", "path", "nowhere"])


def test_a_module_that_lacks_its_own_imports_is_no_unknown_name(tmp_path, monkeypatch):
    (tmp_path / "needy_module.py").write_text("import a_module_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="a_module_nobody_has"):
        utils.load_tokens(["needy_module", "function"])


# --- directories --------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_comes_back_from_a_working_directory_even_after_an_error(here):
    (here / "inside").mkdir()

    with pytest.raises(ValueError), utils.working_dir("inside"):
        assert os.getcwd() == str(here / "inside")
        raise ValueError
    assert os.getcwd() == str(here)


def test_a_directory_is_made_and_kept(here):
    with utils.temp_dir("a/b"):
        assert (here / "a/b").is_dir()
    assert (here / "a/b").is_dir()


def test_a_directory_that_was_made_is_erased_with_its_parents_and_sentinel(here):
    (here / "base").mkdir()

    with utils.temp_dir("base/foo/bar", erase_after=True):
        (here / "base/foo/bar/file.txt").touch()
        assert (here / "base/foo.inuse").exists()

    assert list((here / "base").iterdir()) == []


def test_a_directory_that_was_there_is_not_erased(here):
    (here / "kept").mkdir()

    with utils.temp_dir("kept", erase_after=True):
        pass
    assert (here / "kept").is_dir()


def test_a_parent_that_somebody_else_uses_by_now_is_not_erased(here):
    with utils.temp_dir("a/b", erase_after=True):
        (here / "a/somebody-elses").touch()

    assert not (here / "a/b").exists()
    assert (here / "a/somebody-elses").exists()


def test_after_an_error_the_directory_stays_to_be_looked_at(here):
    with pytest.raises(ValueError), utils.temp_dir("a", erase_after=True):
        raise ValueError

    assert (here / "a").is_dir()
    assert not (here / "a.inuse").exists()


def test_a_path_with_two_dots_is_not_made(here):
    with pytest.raises(RuntimeError, match=r"\.\."), utils.temp_dir("../elsewhere"):
        pass


def test_a_file_is_no_working_directory(here):
    (here / "file").touch()

    with pytest.raises(NotADirectoryError), utils.temp_dir("file"):
        pass


def test_a_path_is_split_into_its_parts(here):
    assert list(utils.path_split_all(os.path.join("foo", "bar", "baz"))) == ["foo", "bar", "baz"]
    assert list(utils.path_split_all("/foo/bar")) == ["foo", "bar"]


def test_the_closest_directory_that_exists_is_found(here):
    (here / "base").mkdir()

    assert utils.get_closest_dir("base/foo/bar") == ("base", "foo")
    assert utils.get_closest_dir("new") == ("", "new")
    assert utils.get_closest_dir(here / "new") == (str(here), "new")
    with pytest.raises(FileExistsError):
        utils.get_closest_dir("base")

"""Graphs travel: to files, to other processes, into copies."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import cloudpickle
import pytest

from hpo.pyll import as_apply, dfs, rec_eval, scope

PICKLERS = [pickle, cloudpickle]


@pytest.mark.parametrize("pickler", PICKLERS, ids=lambda p: p.__name__)
def test_a_graph_keeps_its_shape_and_sharing(pickler):
    shared = as_apply({"a": 1})
    graph = as_apply([shared, shared, scope.uniform(0, high=1)])

    twin = pickle.loads(pickler.dumps(graph))

    assert str(twin) == str(graph)
    assert twin.pos_args[0] is twin.pos_args[1]
    assert twin.pos_args[2].named_args[0][1].obj == 1


@pytest.mark.parametrize("pickler", PICKLERS, ids=lambda p: p.__name__)
def test_a_graph_deeper_than_the_stack_survives(pickler):
    node = as_apply(0)
    for _ in range(5000):
        node = node + 1

    assert rec_eval(pickle.loads(pickler.dumps(node))) == 5000


def test_nodes_pickled_together_stay_the_same_nodes():
    leaf = scope.uniform(0, 1)
    graph = as_apply({"x": leaf + 1})

    for bundle in ({"leaf": leaf, "graph": graph}, {"graph": graph, "leaf": leaf}):
        twins = pickle.loads(pickle.dumps(bundle))
        assert twins["leaf"] in dfs(twins["graph"])


def test_a_pickle_grows_in_proportion_to_the_graph():
    def size(n_terms):
        node = as_apply(0)
        for _ in range(n_terms):
            node = node + 1
        return len(pickle.dumps(node))

    assert size(2000) < 2.2 * size(1000)


def test_a_deep_copy_is_independent():
    node = as_apply({"a": [1, 2]})

    twin = copy.deepcopy(node)
    twin.named_args[0][1].pos_args[0] = as_apply(9)

    assert (rec_eval(node), rec_eval(twin)) == ({"a": (1, 2)}, {"a": (9, 2)})


def test_a_deep_copy_may_be_deeper_than_the_stack():
    node = as_apply(0)
    for _ in range(2000):
        node = node + 1

    assert rec_eval(copy.deepcopy(node)) == 2000


def test_a_failed_pickle_does_not_disturb_the_next():
    unpicklable = as_apply([1, 2, as_apply(lambda: None), [3, 4]])
    deep = as_apply(0)
    for _ in range(3000):
        deep = deep + 1

    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(unpicklable)

    assert rec_eval(pickle.loads(pickle.dumps(deep))) == 3000


def test_a_symbol_of_the_drivers_script_is_known_where_the_space_is_unpickled(tmp_path):
    script, pickled = tmp_path / "driver.py", tmp_path / "space.pkl"
    script.write_text(
        "import sys, cloudpickle\n"
        "from hpo.pyll import scope\n"
        "@scope.define\n"
        "def shout(text):\n"
        "    return text.upper() + '!'\n"
        "open(sys.argv[1], 'wb').write(cloudpickle.dumps(scope.shout('hello')))\n"
    )
    worker = (
        "import sys, pickle\n"
        "from hpo.pyll import rec_eval\n"
        "print(rec_eval(pickle.load(open(sys.argv[1], 'rb'))))\n"
    )

    subprocess.run([sys.executable, str(script), str(pickled)], check=True)
    answer = subprocess.run(
        [sys.executable, "-c", worker, str(pickled)], check=True, capture_output=True, text=True
    )

    assert answer.stdout == "HELLO!\n"

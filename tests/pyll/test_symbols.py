"""`scope`: registering operations, and taking them along with a pickled space."""

from __future__ import annotations

import pickle

import pytest

from hpo.exceptions import PyllImportError, SymbolTaken
from hpo.pyll import SymbolTable, rec_eval, scope


@pytest.fixture
def define():
    """`scope.define` that is undone after the test."""
    defined = []

    def define(f, **properties):
        defined.append(f.__name__)
        return scope.define(f, **properties)

    yield define
    for name in defined:
        scope.undefine(name)


def cube(x):
    return x**3


def test_a_defined_function_makes_nodes_and_stays_callable(define):
    assert define(cube) is cube

    assert rec_eval(scope.cube(scope.add(1, 1))) == 8
    assert cube(2) == 8


def test_a_name_is_defined_once(define):
    define(cube)

    with pytest.raises(SymbolTaken, match=r"knows another 'cube'.*scope.undefine\('cube'\)"):
        scope.define(cube)
    with pytest.raises(ValueError):
        scope.define_pure(cube)


def test_a_builtin_cannot_be_replaced():
    def log(x):
        return x

    with pytest.raises(SymbolTaken):
        scope.define(log)


def test_define_if_new_accepts_the_same_function_only(define):
    define(cube)

    assert scope.define_if_new(cube) is cube

    def impostor():
        return None

    impostor.__name__ = "cube"
    with pytest.raises(SymbolTaken):
        scope.define_if_new(impostor)


def test_undefine_takes_the_function_or_its_name():
    table = SymbolTable()
    for handle in (cube, "cube"):
        table.define(cube)
        table.undefine(handle)
        assert not hasattr(table, "cube")
    with pytest.raises(PyllImportError, match="'cube'"):
        table.undefine("cube")


def test_define_info_records_length_and_purity():
    table = SymbolTable()

    @table.define_info(o_len=2, pure=True)
    def halves(x):
        return x / 2, x / 2

    node = table.halves(3)
    assert (len(node), node.pure) == (2, True)


def test_a_misspelt_symbol_gets_the_closest_name():
    with pytest.raises(AttributeError, match=r"no symbol 'unifrm'; did you mean 'uniform'\?"):
        _ = scope.unifrm


def test_evaluating_an_unknown_symbol_says_what_to_import(define):
    define(cube)
    node = scope.cube(2)
    scope.undefine(cube)
    try:
        with pytest.raises(PyllImportError, match=r"uses 'cube'.*import the module"):
            rec_eval(node)
    finally:
        scope.define(cube)


def test_symbols_can_be_imported_into_a_namespace():
    namespace = {}

    scope.import_(namespace, "log", ln="log")

    assert rec_eval(namespace["ln"](1)) == rec_eval(namespace["log"](1)) == 0.0
    with pytest.raises(PyllImportError, match="nonsense"):
        scope.inject("nonsense")


def test_scope_pickles_as_a_reference_to_itself():
    assert pickle.loads(pickle.dumps(scope)) is scope


def test_a_users_symbol_travels_with_the_pickle(define):
    define(cube, pure=True)
    pickled = pickle.dumps(scope.cube(2))
    scope.undefine(cube)

    node = pickle.loads(pickled)

    assert rec_eval(node) == 8
    assert scope.cube(2).pure


def test_an_unpickled_symbol_does_not_replace_the_process_own(define):
    define(cube)
    pickled = pickle.dumps(scope.cube(2))
    scope.undefine(cube)

    def negate(x):
        return -x

    negate.__name__ = "cube"
    scope.define(negate)

    assert rec_eval(pickle.loads(pickled)) == -2


def test_an_unpickled_symbol_replaces_an_earlier_unpickled_one():
    table = SymbolTable()

    def cube_of_the_first_script(x):
        return x**3

    def cube_of_the_second_script(x):
        return x * x * x

    for f in (cube_of_the_first_script, cube_of_the_second_script):
        f.__name__ = "cube"
        table.define_unpickled(f)
        assert table.implementation("cube") is f


def test_hpos_own_symbols_do_not_travel():
    assert scope.portable_definition("uniform") is None
    assert scope.is_builtin("uniform")

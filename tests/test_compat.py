"""Unchanged code that imports hyperopt, running on hpo.

What `import hyperopt` means is decided once for a process, so each of these
runs a program of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hpo import compat

ROOT = Path(__file__).resolve().parent.parent
INSTALL = "from hpo.compat import install_as_hyperopt\ninstall_as_hyperopt()\n"


def run(program, *, cwd=None, install=True):
    """What a program prints; it fails the test by failing itself."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "worker")])}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", INSTALL * install + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_hyperopts_own_first_example_runs_unchanged():
    printed = run(
        """
        from hyperopt import hp

        def objective(args):
            case, val = args
            return val if case == 'case 1' else val ** 2

        space = hp.choice('a', [('case 1', 1 + hp.lognormal('c1', 0, 1)),
                                ('case 2', hp.uniform('c2', -10, 10))])

        import numpy as np
        import hyperopt
        from hyperopt import fmin, tpe, space_eval
        best = fmin(objective, space, algo=tpe.suggest, max_evals=60, show_progressbar=False,
                    rstate=np.random.default_rng(0))

        print(sorted(best))
        print(space_eval(space, best)[0])
        """
    )

    assert printed == "['a', 'c2']\ncase 2\n"


def test_modules_are_the_same_under_both_names_however_deep():
    run(
        """
        import importlib
        names = '''algobase anneal atpe base criteria early_stop exceptions fmin graph_viz hp ipy
            mix mongoexp plotting progress pyll pyll.base pyll.stochastic pyll_utils rand rdists
            tpe utils vectorize'''.split()
        for name in names:
            theirs = importlib.import_module(f"hyperopt.{name}")
            assert theirs is importlib.import_module(f"hpo.{name}"), name
            assert theirs.__name__ == theirs.__spec__.name == f"hpo.{name}", name
        """
    )


def test_fmin_is_a_function_and_still_a_module_to_import_from():
    run(
        """
        import hyperopt
        from hyperopt.fmin import generate_trials_to_calculate
        import hyperopt.fmin
        assert callable(hyperopt.fmin)
        import hpo
        assert callable(hpo.fmin) and hpo.fmin is hyperopt.fmin
        assert generate_trials_to_calculate is hpo.generate_trials_to_calculate
        """
    )


def test_the_package_gives_its_modules_without_importing_each():
    run(
        """
        import sys
        import hyperopt as hpo
        assert 'hpo.mongoexp' not in sys.modules
        assert hpo.base.JOB_STATE_DONE == 2
        assert hpo.base.pyll is hpo.pyll
        assert hpo.utils.coarse_utcnow().tzinfo is None
        assert hpo.mongoexp.MongoTrials.asynchronous
        """
    )


def test_nothing_heavy_is_loaded_by_installing():
    run(
        """
        import sys
        import hyperopt
        assert not {'scipy.stats', 'pymongo', 'sklearn', 'matplotlib'} & set(sys.modules)
        """
    )


def test_a_name_that_hpo_lacks_is_an_import_error_as_usual():
    run(
        """
        import hyperopt
        for statement in ('import hyperopt.nowhere', 'from hyperopt import nowhere',
                          'import hyperopt.pyll.nowhere'):
            try:
                exec(statement)
            except ImportError as error:
                assert 'nowhere' in str(error)
            else:
                raise SystemExit(statement)
        try:
            hyperopt.nowhere
        except AttributeError as error:
            assert "hpo has no 'nowhere'" in str(error)
        assert not hasattr(hyperopt, '__wrapped__')
        """
    )


def test_everything_can_be_imported_by_a_star():
    run(
        """
        from hyperopt import *
        assert callable(fmin) and Trials and STATUS_OK == 'ok'
        """
    )


def test_the_version_is_that_of_the_interface():
    printed = run("import hyperopt; print(hyperopt.__version__, hyperopt.__name__)")

    assert printed == f"{compat.INTERFACE_VERSION} hyperopt\n"


def test_installing_twice_changes_nothing():
    run(
        """
        import sys
        import hyperopt
        n_finders = len(sys.meta_path)
        install_as_hyperopt()
        assert sys.modules['hyperopt'] is hyperopt
        assert len(sys.meta_path) == n_finders
        """
    )


@pytest.mark.parametrize("statement", ["import hyperopt", "import hyperopt.base"])
def test_a_hyperopt_that_is_imported_already_is_not_replaced(tmp_path, statement):
    (tmp_path / "hyperopt").mkdir()
    (tmp_path / "hyperopt/__init__.py").touch()
    (tmp_path / "hyperopt/base.py").touch()

    printed = run(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        {statement}
        from hpo.compat import install_as_hyperopt, is_installed_as_hyperopt
        from hpo.exceptions import HpoError
        try:
            install_as_hyperopt()
        except HpoError as error:
            print(error)
        assert not is_installed_as_hyperopt()
        """,
        install=False,
    )

    assert str(tmp_path / "hyperopt") in printed
    assert "before anything imports hyperopt" in printed


def test_a_hyperopt_that_is_only_installed_stays_out_of_sight(tmp_path):
    (tmp_path / "hyperopt").mkdir()
    (tmp_path / "hyperopt/__init__.py").write_text("raise SystemExit('the real one')")
    (tmp_path / "hyperopt/nowhere.py").touch()

    run(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import hyperopt, hyperopt.base
        try:
            import hyperopt.nowhere
        except ModuleNotFoundError:
            pass
        else:
            raise SystemExit('a module of the real one')
        """
    )


def test_what_a_script_sets_on_the_package_does_not_reach_hpo():
    run(
        """
        import hyperopt, hpo
        hyperopt.fmin = None
        assert callable(hpo.fmin)
        """
    )


def test_an_objective_that_mentions_hyperopt_is_rebuilt_where_it_is_installed_too():
    program = """
        import sys
        import cloudpickle
        import hyperopt

        def objective(x):
            return {'loss': x, 'status': hyperopt.STATUS_OK}

        sys.stdout.write(cloudpickle.dumps(objective).hex())
        """
    pickled = run(program)

    printed = run(f"import pickle; print(pickle.loads(bytes.fromhex({pickled!r}))(1.0))")

    assert printed == "{'loss': 1.0, 'status': 'ok'}\n"


@pytest.mark.parametrize(
    "statement, advice",
    [
        ("hyperopt.fmin(abs, hyperopt.hp.uniform('x', 0, 1), algo=hyperopt.atpe.suggest, "
         "max_evals=1, verbose=False)", "Use algo=tpe.suggest"),
        ("SparkTrials(parallelism=4)", "workers=4"),
        ("hyperopt.ipy.IPythonTrials(None)", "workers=4"),
    ],
)  # fmt: skip
def test_what_hpo_leaves_out_says_what_to_use_instead(statement, advice):
    printed = run(
        f"""
        import hyperopt
        from hyperopt import SparkTrials
        from hpo.exceptions import InvalidOption
        try:
            {statement}
        except InvalidOption as error:
            print(error)
        """
    )

    assert advice in printed

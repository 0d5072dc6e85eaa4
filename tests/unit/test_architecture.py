"""No file depends on what stands above it: see docs/architecture.md."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPP = ROOT / "cpp"
PACKAGE = ROOT / "python" / "annx"

# What each folder of cpp/ may include, besides itself.
CPP_BELOW = {
    "base": set(),
    "kernels": {"base"},
    "storage": {"base", "kernels"},
    "check": {"base", "kernels", "storage"},
    "graph": {"base", "kernels", "storage"},
    "exact": {"base", "kernels", "storage"},
    "index": {"base", "kernels", "storage", "check", "graph", "exact"},
    "bindings": {"base", "kernels", "storage", "check", "graph", "exact", "index"},
}

# Modules of annx, from the bottom to the top; each may import from its own line or above.
PYTHON_LAYERS = [
    {"errors", "_atomic", "_fork", "_journal", "_version"},
    {"_extra", "_tables"},
    {"_present", "_rows", "_validate", "_progress"},
    {"_backends", "_native"},
    {"_check", "_sums", "_layout"},
    {"_source"},
    {"_log"},
    {"_format", "_map", "_health", "_choose", "_probe", "_sample", "_result"},
    {"_describe"},
    {"_filter", "_persist", "_pick", "_tune"},
    {"_changes", "_explain", "_recall"},
    {"index"},
    {"_load", "_verify"},
    {"filters"},
    {"collection"},
    {"datasets", "__init__"},
    {"compat"},
    {"_bench"},
    {"integrations", "evaluation"},
    {"cli"},
]

# Packages other than NumPy that a module may import when it is itself imported. For an
# integration these are those of its extra.
PYTHON_EXTRAS = {
    "cli": {"click", "rich"},
    "numba": {"numba", "llvmlite"},
    "integrations/haystack": {"haystack"},
    "integrations/implicit": {"implicit", "scipy"},
    "integrations/langchain": {"langchain_core"},
    "integrations/llama_index": {"llama_index"},
    "integrations/mteb": {"mteb"},
    "integrations/recommenders": {"pandas"},
    "integrations/sentence_transformers": {"sentence_transformers"},
    "integrations/sklearn": {"joblib", "scipy", "sklearn"},
}

# What these import of annx is there for every user.
PUBLIC_ONLY = {"evaluation", "integrations"}

CPP_FILES = sorted(path for path in CPP.rglob("*") if path.suffix in {".h", ".cpp"})
ISA_FILES = [path for path in CPP_FILES if re.fullmatch(r"isa_\w+\.cpp", path.name)]
PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def includes(path: Path) -> list[str]:
    """Included names, with their quotes or angle brackets."""
    return re.findall(r'^\s*#\s*include\s*([<"][^>"]+[>"])', path.read_text("utf-8"), re.M)


def layer(module: str) -> int:
    for number, modules in enumerate(PYTHON_LAYERS):
        if module in modules:
            return number
    pytest.fail(f"annx.{module} has no place in PYTHON_LAYERS")


def imports(tree: ast.AST, package: list[str]) -> set[str]:
    """Full names of the modules that code imports, below `package`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            # `from annx import x` may name a module or something that annx exports.
            names |= {f"{base}.{alias.name}" if base == "annx" else base for alias in node.names}
    return names


def at_import(tree: ast.Module) -> ast.Module:
    """Keep what runs when the module is imported."""

    class DropFunctions(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        visit_AsyncFunctionDef = visit_FunctionDef

        def visit_If(self, node: ast.If) -> ast.If | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else node

    return DropFunctions().visit(tree)


@pytest.mark.parametrize("path", CPP_FILES, ids=relative)
def test_cpp_includes_only_what_is_below(path):
    folder = path.relative_to(CPP).parts[0]
    for name in includes(path):
        if name.startswith("<"):
            assert "pybind11" not in name or folder == "bindings", name
            continue
        target = name.strip('"')
        place = target.split("/")[0] if "/" in target else folder
        assert (CPP / target).exists() or (path.parent / target).exists(), f"no file {target}"
        assert place == folder or place in CPP_BELOW[folder], f"{folder} includes {target}"


@pytest.mark.parametrize("path", ISA_FILES, ids=relative)
def test_isa_files_include_nothing_that_defines_functions(path):
    headers = ["hadamard.h", "impl.h", "planes.h", "short_rows.h", "table.h"]
    allowed = {"<immintrin.h>", "<arm_neon.h>", "<cstddef>", "<cstdint>"}
    allowed |= {f'"{header}"' for header in headers}
    for file in [path, *(path.parent / header for header in headers)]:
        assert set(includes(file)) <= allowed


@pytest.mark.parametrize("path", PYTHON_FILES, ids=relative)
def test_python_imports_only_what_is_below(path):
    package = ["annx", *path.parent.relative_to(PACKAGE).parts]
    module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    known = {re.sub(r"\.pyi?$", "", path.name) for path in PACKAGE.iterdir()}
    for name in imports(ast.parse(path.read_text("utf-8")), package):
        if name.split(".")[0] != "annx":
            continue
        below = name.split(".")[1:2]
        target = below[0] if known.issuperset(below) and below else "__init__"
        assert layer(target) <= layer(module), f"annx.{module} imports {name}"


@pytest.mark.parametrize("path", PYTHON_FILES, ids=relative)
def test_integrations_use_public_names(path):
    parts = path.relative_to(PACKAGE).parts
    if parts[0].removesuffix(".py") not in PUBLIC_ONLY:
        return
    for name in imports(ast.parse(path.read_text("utf-8")), ["annx", *parts[:-1]]):
        if name.split(".")[0] != "annx" or name.startswith(f"annx.{parts[0]}."):
            continue
        private = [part for part in name.split(".") if re.match("_[^_]", part)]
        # How every optional part says which extra it needs.
        assert private in ([], ["_extra"]), f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", PYTHON_FILES, ids=relative)
def test_core_needs_numpy_alone(path):
    package = ["annx", *path.parent.relative_to(PACKAGE).parts]
    extra = "numba" if path.name.startswith("numba_") else package[1] if package[1:] else ""
    if extra == "integrations":
        extra = f"{extra}/{[*package, path.stem][2]}"
    allowed = {"annx", "numpy"} | PYTHON_EXTRAS.get(extra, set()) | set(sys.stdlib_module_names)
    tree = at_import(ast.parse(path.read_text("utf-8")))
    assert {name.split(".")[0] for name in imports(tree, package)} <= allowed


@pytest.mark.parametrize("path", CPP_FILES + PYTHON_FILES, ids=relative)
def test_a_file_has_one_idea(path):
    assert len(path.read_text("utf-8").splitlines()) <= 450

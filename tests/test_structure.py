"""Laws of the source itself: imports go downhill, nothing can run code from a file, commands start quickly."""

import ast
import importlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from vc import __version__
from vc.cli.main import COMMANDS, main

# From the bottom up, as the data flow; a module may import from its own row and the rows above it in this list.
ROWS = (
    ("vc.errors", "vc.messages", "vc.phrases", "vc.plugins", "vc.system", "vc"),
    ("vc.callable_package",),
    ("vc.config", "vc.extras", "vc.files", "vc.parallel", "vc.devices", "vc.signals", "vc.layers", "vc.losses"),
    ("vc.plots", "vc.tensor_file", "vc.torch_file", "vc.user_files"),
    ("vc.corpus",),
    ("vc.features", "vc.encoders"),
    ("vc.models",),
    ("vc.model_file",),
    ("vc.vocoders", "vc.metrics"),
    ("vc.convert",),
    ("vc.train",),
    ("vc.evaluate",),
    ("vc.report", "vc.listening", "vc.live"),
    ("vc.from_folders",),
    ("vc.web",),
    ("vc.api",),
    ("vc.cli", "vc.__main__"),
)
PUBLISHED = ("vc.torch_file",)  # reads torch's archives, as tensors alone
PURE = ("vc.models", "vc.losses", "vc.metrics")  # never touch files
FILES = {
    "vc.files",
    "vc.corpus.audio",
    "vc.corpus.data_directory",
    "vc.features.store",
    "vc.tensor_file",
    "vc.model_file",
    "pathlib",
    "os",
    "logging",
    "yaml",
}
HEAVY = {"torch", "librosa", "numba", "scipy", "pyworld", "soundfile", "numpy", "matplotlib", "yaml", "tqdm"}


def sources() -> list[Path]:
    return sorted((ROOT / "vc").rglob("*.py"))


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def row(name: str) -> int:
    part = ".".join(name.split(".")[:2])
    found = [number for number, names in enumerate(ROWS) if part in names]
    assert found, f"{name} stands in no row: say where it belongs"
    return found[0]


def imports(path: Path) -> set[str]:
    """Modules that a file imports, `from vc import config` read as `vc.config`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"vc.{alias.name}" for alias in node.names} if node.module == "vc" else {node.module}
    return {name for name in found if name not in ("vc.__version__",)}


@pytest.mark.parametrize("path", sources(), ids=module)
def test_imports_go_downhill(path):
    if module(path) == "vc":
        return  # its lazy `Converter` looks up from the bottom
    for name in imports(path):
        if name.split(".")[0] == "vc":
            assert row(name) <= row(module(path)), f"{module(path)} imports {name}"


def test_no_two_modules_import_each_other():
    graph = {module(path): {name for name in imports(path) if name.startswith("vc.")} for path in sources()}
    graph.pop("vc")
    known = {name: {other for other in graph[name] if other in graph and other != name} for name in graph}
    while leaves := [name for name, others in known.items() if not others]:
        known = {name: others - set(leaves) for name, others in known.items() if name not in leaves}
    assert not known, f"import cycle among {sorted(known)}"


@pytest.mark.parametrize("path", [p for p in sources() if module(p).startswith(PURE)], ids=module)
def test_networks_losses_and_metrics_touch_no_files(path):
    assert not imports(path) & FILES


@pytest.mark.parametrize("path", sources(), ids=module)
def test_nothing_can_run_code_from_a_file(path):
    banned = {"eval", "exec", "system", "popen", "load_module"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            plain = isinstance(node.func, ast.Name) or owner in ("os", "builtins")
            assert not (plain and name in banned), f"{name}() at line {node.lineno}"
            assert (owner, name) not in {("yaml", "load"), ("joblib", "load"), ("jit", "load")}
            settings = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            if (owner, name) == ("torch", "load"):
                assert settings["weights_only"] is True and module(path) in PUBLISHED
            assert settings.get("shell") is not True and settings.get("allow_pickle") is not True
    starts = {"vc.corpus.prepare": {"subprocess"}, "vc.corpus.formats": {"subprocess"}, "vc.web.jobs": {"asyncio"}}
    starts |= {"vc.live.virtual_microphone": {"subprocess"}}
    allowed = starts.get(module(path), set())  # --allow-pipes; ffmpeg; this package's own commands; pactl
    assert not imports(path) & {"pickle", "joblib", "marshal", "shelve", "subprocess", "asyncio"} - allowed


@pytest.mark.parametrize("name", COMMANDS)
def test_one_command_has_all_the_others(name, capsys):
    helps = []
    for run, words in ((main, [name, "--help"]), (importlib.import_module(f"vc.cli.{name}").main, ["--help"])):
        with pytest.raises(SystemExit, match="0"):
            run(words)
        helps.append(capsys.readouterr().out)
    assert helps[0] == helps[1] and helps[0].startswith(f"usage: vc-{name}")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--version"], 0, f"vc {__version__}\n"),
        (["--help"], 0, "  convert   convert recordings with a model\n"),
        (["convert", "--modle", "none"], 2, "vc-convert: error: unrecognized arguments: --modle; known: --help, "),
        (["convert", "--modle", "none"], 2, "; did you mean --model?\n"),
        (["train", "anna", "--outptu=x", "--set", "a=1"], 2, "vc-train: error: unrecognized arguments: --outptu=x; "),
        (["convert", "--", "--modle"], 2, "vc-convert: error: the following arguments are required: --model; "),
        (["vocoder", "copy", "--vocodr", "x", "y"], 2, "vc-vocoder copy: error: unrecognized arguments: --vocodr"),
        (["vocoder", "copy", "--vocodr", "x", "y"], 2, "known: --help, --scp, --vocoder, "),
        ([], 2, "vc: error: the following arguments are required: COMMAND"),
        (["conver"], 2, "vc: error: argument COMMAND: invalid choice: 'conver'"),
        (["convert", "--model", "none", "in.wav"], 2, "vc-convert: error: none: no such model file"),
    ],
)
def test_the_package_is_that_command(words, status, said, tmp_path):
    line, path = [sys.executable, "-m", "vc", *words], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=path)
    assert done.returncode == status and said in (done.stderr if status else done.stdout)
    assert done.stderr.count("\n") == bool(status)


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, vc; print(sorted({HEAVY!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_light(name):
    code = (
        f"import sys; sys.argv = ['vc-{name}', '--help']; from vc.cli.{name} import main\n"
        f"try: main()\nexcept SystemExit: pass\nprint(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr.strip() == "[]" and f"usage: vc-{name}" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_commands_named_in_setup_cfg_exist():
    lines = [line.strip() for line in (ROOT / "setup.cfg").read_text().splitlines() if "vc.cli." in line]
    assert [line.split(" = ")[0] for line in lines] == ["vc", *(f"vc-{name}" for name in COMMANDS)]
    for line in lines:
        assert (ROOT / line.split(" = ")[1].split(":")[0].replace(".", "/")).with_suffix(".py").is_file()

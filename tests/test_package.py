"""What is packaged and set up: a description whose links work anywhere, torch without a GPU, nothing left behind."""

import configparser
import re
import shutil
import subprocess

import pytest
from conftest import ROOT, run

SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")


def test_the_description_of_the_package_links_to_nothing_beside_it():
    """On the package index there are no other files; and as long as there is no home page, none is named."""
    page = ROOT / SETTINGS["metadata"]["long_description"].removeprefix("file: ")
    links = re.findall(r"\]\(([^)]*)\)", page.read_text())
    assert not [link for link in links if not link.startswith("https://")]
    assert "url" not in SETTINGS["metadata"] and "project_urls" not in SETTINGS["metadata"]


def test_what_the_package_requires_is_what_it_imports():
    """Not what its tests import alone."""
    required = {re.match(r"[\w-]+", line)[0] for line in SETTINGS["options"]["install_requires"].split("\n") if line}
    names = {"PyYAML": "yaml", "Jinja2": "jinja2", "pyworld-prebuilt": "pyworld"}
    text = "\n".join(path.read_text() for path in (ROOT / "vc").rglob("*.py"))
    imported = set(re.findall(r"^ *(?:import|from) (\w+)", text, re.MULTILINE))
    assert len(required) > 5 and {names.get(name, name) for name in required} <= imported


def test_the_licence_files_are_there_and_name_what_the_weights_learnt_from():
    texts = [(ROOT / name).read_text() for name in SETTINGS["metadata"]["license_files"].split()]
    assert "MIT License" in texts[0]
    for path in (ROOT / "vc").rglob("*.safetensors"):
        assert path.relative_to(ROOT).as_posix() in texts[1]


@pytest.fixture
def python(tmp_path):
    """An interpreter that notes how pip is called, cannot reach PyTorch's index, and has a torch that does nothing."""
    path = tmp_path / "python"
    path.write_text(
        f"""#!/bin/sh
case "$*" in
*--index-url*) exit 1 ;;
*pip*) echo "$*" >> "{tmp_path}/calls" ;;
*sysconfig*) echo "{tmp_path}/site" ;;
esac
"""
    )
    path.chmod(0o755)
    (tmp_path / "site/torch/lib").mkdir(parents=True)
    return path


def test_torch_for_a_gpu_brings_what_it_requires(python, tmp_path):
    done = run(ROOT / "tools/install_torch.sh", python, "cuda", "--quiet")
    assert done.returncode == 0, done.stderr
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert "requirements-torch.txt" in call and "--no-deps" not in call and not list((tmp_path / "site").glob("*.pth"))


def test_torch_for_a_cpu_has_stand_ins_for_what_it_never_calls(python, tmp_path):
    for _ in range(2):  # safe to repeat
        done = run(ROOT / "tools/install_torch.sh", python, "cpu", "--quiet")
        assert done.returncode == 0 and "taking the plain index's" in done.stdout, done.stderr
    call = (tmp_path / "calls").read_text().splitlines()[0]
    assert "--no-deps" in call and "requirements-torch.txt" in call and "requirements-torch-cpu.txt" in call
    links = list((tmp_path / "site/torch/lib").iterdir())
    assert len(links) == 10 and {str(link.readlink()) for link in links} == {"libtorch_global_deps.so"}
    [line] = (tmp_path / "site/torch_without_gpu.pth").read_text().splitlines()
    exec(line.replace("sys.setdlopenflags", "print"), {})


def test_set_up_refuses_another_device_by_name():
    done = run(ROOT / "tools/setup.sh", TORCH="rocm")
    assert done.returncode == 1 and done.stderr == "tools/setup.sh: error: TORCH is cpu or cuda, not 'rocm'\n"


def test_distclean_leaves_nothing_but_what_is_the_users(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for name in ("Makefile", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    made = (
        "tools/venv/bin/python",
        "tools/.stamp",
        "tools/.stamp.lock",
        "vc/__pycache__/a.pyc",
        "build/lib",
        "dist/a.whl",
    )
    made += ("nonparallel_vc.egg-info/PKG-INFO", ".pytest_cache/a", ".ruff_cache/a", ".hypothesis/a")
    made += tuple(f"egs/mini/any_to_one/{folder}/a" for folder in ("data", "dump", "exp"))
    users = ("egs/own/vc2/exp/model.safetensors", "egs/vcc2016/vc2/downloads/corpus.zip", "converted/a.wav")
    for name in (*made, *users):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["make", "--silent", "distclean"], cwd=tmp_path, check=True)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file() and ".git/" not in str(p)} == {
        "Makefile",
        ".gitignore",
        *users,
    }


def test_the_dockerfile_is_made_of_files_that_are_there():
    text = (ROOT / "Dockerfile").read_text()
    for name in re.findall(r"/opt/vc/(\S+\.sh)", text):
        assert (ROOT / name).is_file()
    assert "TORCH=cpu" in text
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {"tools/venv", ".git", "egs/*/*/exp"} <= set(ignored)

"""Configurations: refusals by name, overrides, digests."""

from dataclasses import dataclass

import pytest

from vc.config import build, digest, plain, read_sections, read_yaml, require_known
from vc.errors import ConfigError
from vc.features.world import WorldConfig


@dataclass(frozen=True)
class Inner:
    rate: float = 1e-3
    names: list[str] | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    steps: int = 5
    flag: bool = False


def test_round_trip_through_plain_values():
    config = Outer(Inner(0.5, ["a", "b"]), 7, True)
    assert build(Outer, plain(config), "outer") == config


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"inner": {}, "stepz": 3}, r"outer: unknown key stepz; known: inner, steps, flag"),
        ({"inner": {}, "steps": "many"}, r"outer\.steps: expected int, found 'many'"),
        ({"inner": {}, "steps": True}, r"outer\.steps: expected int, found True"),
        ({"inner": {"rate": float("inf")}}, r"outer\.inner\.rate: expected a finite number"),
        ({"inner": {"rate": "fast"}}, r"outer\.inner\.rate: expected float, found 'fast'"),
        ({"inner": {"names": [1]}}, r"outer\.inner\.names: expected str, found 1"),
        ({"inner": 3}, r"outer\.inner: expected a mapping"),
        ({}, r"outer: missing key inner$"),
        ([1], r"outer: expected a mapping"),
    ],
)
def test_refusals_name_the_key(given, named):
    with pytest.raises(ConfigError, match=named):
        build(Outer, given, "outer")


@dataclass(frozen=True)
class Crowd:
    sources: int = 1
    targets: int = 1


@pytest.mark.parametrize(
    ("refusal", "nearest"),
    [
        (lambda: require_known("method", "Nerest", ["warp", "nearest"]), "known: warp, nearest; did you mean nearest?"),
        (lambda: require_known("method", "gmm", ["warp", "nearest"]), "known: warp, nearest"),
        (
            lambda: require_known("method", ["warp"], ["warp", "gmm"]),
            "method: unknown ['warp']; known: warp, gmm; did you mean warp?",
        ),
        (lambda: require_known("method", "warp", []), "known: none"),
        (lambda: build(Outer, {"stpes": 3}, "outer"), "known: inner, steps, flag; did you mean steps?"),
        (lambda: build(Crowd, {"source": 1, "traget": 1}, "crowd"), "did you mean sources, targets?"),
        (lambda: read_sections(None, ["trainig.steps=1"]), "compute; did you mean training?"),
        (lambda: read_sections("neerest"), "warp; did you mean nearest?"),
    ],
)
def test_a_refusal_ends_with_the_name_that_was_probably_meant(refusal, nearest):
    with pytest.raises(ConfigError) as caught:
        refusal()
    assert str(caught.value).endswith(nearest) and "\n" not in str(caught.value)


def test_names_that_are_known_are_not_listed():
    """Plug-ins are loaded when all names are listed."""

    class Known(list):
        def __iter__(self):
            raise AssertionError

    require_known("method", "warp", Known(["warp"]))


def test_numbers_as_yaml_writes_them(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("objective:\n  generator_rate: 2e-4\n")
    given = read_sections(path)["objective"]
    assert build(Inner, {"rate": given["generator_rate"]}, "inner").rate == 2e-4  # YAML 1.1 reads text
    assert build(Inner, {"rate": 2}, "inner").rate == 2.0


def test_overrides_go_deep_and_win(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("method: m\nnetwork: {channels: 4}\n")
    sections = read_sections(path, ["network.channels=8", "training.steps=20", "features.order=null"])
    assert sections == {
        "method": "m",
        "network": {"channels": 8},
        "training": {"steps": 20},
        "features": {"order": None},
    }


@pytest.mark.parametrize("override", ["nonsense", "=3", "method.sub=1"])
def test_bad_overrides_are_refused(override, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("method: m\n")
    with pytest.raises(ConfigError, match="--set"):
        read_sections(path, [override])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("netwrok: {}\n", "unknown section netwrok; known: method"),
        ("- 1\n", "expected a mapping"),
        ("a: [1\n", "not YAML"),
        ("method: !!python/object/apply:os.system ['touch PWNED']\n", "not YAML"),
        ("a: " + "[" * 30000 + "\n", "not YAML"),
        ("a: '" + "x" * 70000 + "'\n", "larger than"),
    ],
)
def test_bad_files_are_refused(text, named, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=named):
        read_sections(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")


def test_a_bomb_of_aliases_makes_a_short_line(tmp_path):
    names = "abcdefghi"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{names[k]}'] * 9)}]" for k, name in enumerate(names[1:])]
    path = tmp_path / "c.yaml"
    path.write_text("method: m\nnetwork:\n" + "".join(f"  {line}\n" for line in lines) + "  steps: *i\n")
    with pytest.raises(ConfigError) as caught:
        build(Outer, {"inner": {}, "steps": read_sections(path)["network"]["steps"]}, "outer")
    assert len(str(caught.value)) < 500


def test_digest_tells_settings_apart_and_only_settings():
    assert digest(WorldConfig()) == digest(WorldConfig(sample_rate=22050))
    assert digest(WorldConfig()) != digest(WorldConfig(frame_shift=10.0))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"sample_rate": 12345}, r"features\.sample_rate must be one of"),
        ({"f0_method": "crepe"}, r"features\.f0_method: unknown 'crepe'; known: autocorrelation, harvest, dio"),
        ({"frame_shift": 0.0}, r"features\.frame_shift"),
        ({"order": 1}, r"features\.order"),
        ({"warping": 1.0}, r"features\.warping"),
        ({"unvoiced_f0": 60.0}, r"features\.unvoiced_f0 must be in 71\.\.1000 Hz, got 60\.0"),
    ],
)
def test_impossible_features_are_refused(given, named):
    with pytest.raises(ConfigError, match=named):
        build(WorldConfig, given, "features")


def test_order_and_warping_follow_the_rate_unless_given():
    assert (WorldConfig(16000).order, WorldConfig(16000).warping) == (24, 0.42)
    assert (WorldConfig(22050).order, WorldConfig(22050).bands) == (34, 35)
    assert WorldConfig(16000, order=30).order == 30

"""Runs know the recordings that they learn from by content: copies are not held out, and changes are named."""

import numpy as np
import pytest
import yaml

from vc.errors import ConfigError, DataError
from vc.features.speakers import Speaker
from vc.features.store import read_features, write_features
from vc.features.world import WorldConfig
from vc.train.directory import check_settings, write_settings
from vc.train.held_out import HeldOut

ANN = Speaker([0.0] * 25, [1.0] * 25, 5.0, 0.2, 80.0, 300.0, 1, 100)
SETTINGS = {"method": "nearest", "data_digest": "a" * 64}
LEARNT = {"ann-1": "one", "ann-2": "two"}
USUAL = WorldConfig(16000)


def features(directory, recordings, config=USUAL):
    directory.mkdir()
    arrays = {"frames": np.zeros((9, 25)), "f0": np.zeros(9)}
    rows = [(id, "ann", arrays) for id in recordings]
    write_features(directory, config, "digest", {"ann": ANN}, rows, recordings)
    return read_features(directory)


def test_digests_come_back(tmp_path):
    assert features(tmp_path / "a", LEARNT).recordings == LEARNT
    (tmp_path / "a/utt2digest").unlink()
    with pytest.raises(DataError, match="utt2digest does not match its digest"):
        read_features(tmp_path / "a")
    content = yaml.safe_load((tmp_path / "a/config.yaml").read_text())
    del content["sha256"]["utt2digest"]
    (tmp_path / "a/config.yaml").write_text(yaml.safe_dump(content))
    assert read_features(tmp_path / "a").recordings == {}  # as older versions wrote them


def test_a_recording_that_is_learnt_from_is_not_held_out_under_another_name(tmp_path):
    learnt = features(tmp_path / "train", LEARNT)
    features(tmp_path / "held", {"ann-8": "two", "ann-9": "nine"})
    with pytest.raises(ConfigError, match="1 recording under other names, such as ann-8 is ann-2;"):
        HeldOut.read(tmp_path / "held", learnt, ("ann",))
    features(tmp_path / "other", {"ann-9": "nine"}, WorldConfig(22050))
    with pytest.raises(ConfigError, match=r"other settings than .*: sample_rate \(16000 -> 22050\)"):
        HeldOut.read(tmp_path / "other", learnt, ("ann",))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({**LEARNT, "ann-3": "3", "ann-4": "4"}, r"2 recordings more \(ann-3, ann-4\)"),
        ({"ann-1": "one"}, r"1 recording fewer \(ann-2\)"),
        ({**LEARNT, "ann-1": "changed"}, r"1 recording changed \(ann-1\)"),
        (LEARNT, "the same recordings were extracted differently"),
        ({}, "the run has no list of its recordings"),
    ],
)
def test_a_run_says_which_recordings_are_other(now, said, tmp_path):
    check_settings(tmp_path, SETTINGS, recordings=LEARNT)  # there are none yet
    write_settings(tmp_path, SETTINGS, LEARNT)
    check_settings(tmp_path, SETTINGS, recordings=LEARNT)
    with pytest.raises(ConfigError, match=f"has changed since this run started: {said}") as caught:
        check_settings(tmp_path, {**SETTINGS, "data_digest": "b" * 64}, recordings=now)
    assert "a" * 64 not in str(caught.value)
    with pytest.raises(ConfigError, match="and other settings: method"):
        check_settings(tmp_path, {"method": "warp", "data_digest": "b" * 64}, recordings=now)

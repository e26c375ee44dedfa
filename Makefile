.PHONY: help setup demo gpu test test-slow lint release clean distclean

help:
	@echo 'make setup      make the environment tools/venv (2.6 GB, for a GPU 6 GB; some minutes)'
	@echo 'make demo       set up, then train, convert and evaluate on the small corpus in egs/mini'
	@echo 'make gpu        set up, then check and time on a GPU what training and conversion do there'
	@echo 'make test       set up, then lint and the tests'
	@echo 'make test-slow  set up, then lint and only the tests that take minutes'
	@echo 'make lint       set up, then ruff and shellcheck'
	@echo 'make clean      remove caches and build leftovers (keeps data/, dump/ and exp/)'
	@echo 'make distclean  clean, and remove tools/venv and what was made of egs/mini as well'
	@echo 'make release    set up, then build and check the sdist and the wheel, and try the wheel (see tools/release.sh)'

setup:
	@tools/setup.sh

demo: setup
	egs/mini/any_to_one/run.sh

gpu: setup
	egs/mini/vc2/run.sh --stop_stage 1
	tools/venv/bin/python tools/gpu.py --features egs/mini/vc2/dump/train --source slt --target rms \
	    --output egs/mini/vc2/exp/gpu --device cuda

test: setup
	tools/test.sh

test-slow: setup
	tools/test.sh -m slow

lint: setup
	tools/lint.sh

release: setup
	tools/release.sh

clean:
	find . -path ./tools/venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
	rm -rf build dist ./*.egg-info .pytest_cache .ruff_cache .hypothesis

distclean: clean
	rm -rf tools/venv tools/.stamp*
	rm -rf egs/mini/*/data egs/mini/*/dump egs/mini/*/exp

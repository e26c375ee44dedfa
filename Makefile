.PHONY: help setup demo test test-slow lint clean distclean

help:
	@echo 'make setup      make the environment tools/venv (6 GB, some minutes the first time)'
	@echo 'make demo       set up, then train, convert and evaluate on the small corpus in egs/mini'
	@echo 'make test       set up, then lint and the tests'
	@echo 'make test-slow  set up, then lint and only the tests that take minutes'
	@echo 'make lint       set up, then ruff and shellcheck'
	@echo 'make clean      remove caches and build leftovers (keeps data/, dump/ and exp/)'
	@echo 'make distclean  clean, and remove tools/venv as well'

setup:
	@tools/setup.sh

demo: setup
	egs/mini/any_to_one/run.sh

test: setup
	tools/test.sh

test-slow: setup
	tools/test.sh -m slow

lint: setup
	tools/lint.sh

clean:
	find . -path ./tools/venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
	rm -rf build dist ./*.egg-info .pytest_cache .ruff_cache .hypothesis

distclean: clean
	rm -rf tools/venv tools/.stamp*

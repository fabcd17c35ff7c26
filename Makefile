# Milliamp. `make` lists what there is; each target sets up what it needs in .venv, once.
.DEFAULT_GOAL := help
.PHONY: help setup run sim test torture soak conformance image measure-frames measure-flash footprint trim lint clean
.PHONY: baremetal firmware package flash provision console selftest

# Dozens of processes start in a run: each would compile every module anew.
export PYTHONDONTWRITEBYTECODE :=
BIN := .venv/bin
BOARD ?=
LANE ?= 64
HEAP ?=
SPEED ?=
CSMS ?=
DAYS ?=
SEED ?=
JOBS ?= auto
PORT ?=
MICROPYTHON ?=
MICROPYTHON_BIN ?=
ARGS ?=

options = --lane $(LANE) $(if $(HEAP),--heap $(HEAP)) $(if $(SPEED),--speed $(SPEED))
port = $(if $(PORT),--port $(PORT))
board = $(or $(BOARD),$(error name the board: make $(1) BOARD=esp32_generic))

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: .venv/stamp  ## charge a virtual car through network loss and power cut (LANE=64 or 32, HEAP=64k, SPEED=20)
	@$(BIN)/python -m hostsim run $(options) $(ARGS)

sim: .venv/stamp  ## a charging station to play with (also CSMS=ws://host:port/path)
	@$(BIN)/python -m hostsim sim $(options) $(if $(BOARD),--board $(BOARD)) $(if $(CSMS),--csms $(CSMS)) $(ARGS)

test: .venv/stamp  ## all tests (JOBS=2, ARGS='-k name')
	@$(BIN)/python -m hostsim.charger.lane32 >/dev/null || true
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

torture: .venv/stamp  ## the whole fault campaign, minutes of it: `make test` has a short one (JOBS=2, ARGS='-k name')
	@$(BIN)/python -m pytest -n $(JOBS) tests/torture --torture $(ARGS)

soak: .venv/stamp  ## thirty days of a station's life in minutes (DAYS=2, SEED=1, LANE=32 HEAP=67k, CSMS=slow)
	@$(BIN)/python -m hostsim soak --lane $(LANE) $(if $(HEAP),--heap $(HEAP)) $(if $(DAYS),--days $(DAYS)) $(if $(SEED),--seed $(SEED)) $(if $(CSMS),--csms $(CSMS))

conformance: .venv/stamp  ## the certification scripts for every product, into docs/conformance.md (LANE=32 HEAP=64k JOBS=2)
	@$(BIN)/python -m tools.measure.conformance --lane $(LANE) $(if $(HEAP),--heap $(HEAP)) --jobs $(JOBS) $(ARGS)

image: .venv/stamp  ## what is flashed: .mpy tree, ROMFS image, manifest (BOARD=esp32_generic; all without)
	@$(BIN)/python -m tools.builder $(BOARD) $(ARGS)

firmware: .venv/stamp  ## MicroPython with the station frozen in (BOARD= MICROPYTHON=folder of its sources)
	@$(BIN)/python -m tools.flashing.firmware $(call board,firmware) $(if $(MICROPYTHON),--micropython $(MICROPYTHON)) $(ARGS)

flash: .venv/stamp  ## the station onto a board with stock MicroPython (BOARD= PORT= MICROPYTHON_BIN=stock image)
	@$(BIN)/python -m tools.flashing.flash $(call board,flash) $(port) $(if $(MICROPYTHON_BIN),--stock $(MICROPYTHON_BIN)) $(ARGS)

package: .venv/stamp  ## what mip installs onto a board with stock MicroPython (BOARD=)
	@$(BIN)/python -m tools.flashing.package $(call board,package)

provision: .venv/stamp  ## identity, CSMS URL, Wi-Fi and secrets onto a board (PORT=; ARGS='--file own.toml')
	@$(BIN)/python -m tools.flashing.provision $(BOARD) $(port) $(ARGS)

console: .venv/stamp  ## the log of a board, until Ctrl-C (PORT= BOARD=)
	@$(BIN)/python -m tools.flashing.console $(BOARD) $(port)

selftest: .venv/stamp  ## tries a board part by part, the station too (PORT=)
	@$(BIN)/python -m tools.flashing.selftest $(BOARD) $(port) $(ARGS)

measure-frames: .venv/stamp  ## a modelled day: how large its frames are (writes build/frames.json)
	@$(BIN)/python -m hostsim day --lane $(LANE) $(if $(HEAP),--heap $(HEAP))

measure-flash: .venv/stamp  ## what an event costs in flash, ours and others, into docs/flash.md (writes build/flash.json)
	@$(BIN)/python -m tools.measure.flash $(ARGS)

footprint: .venv/stamp  ## image, heap, instructions against their gates, into docs/footprint.md (BOARD=; ARGS='--search --tighten', --quick, --passes)
	@$(BIN)/python -m tools.measure.footprint $(BOARD) $(ARGS)

baremetal: .venv/stamp  ## a whole device in QEMU, a Cortex-M3: flash and RAM with the interpreter (MICROPYTHON=folder of its sources, HEAP=48k)
	@$(BIN)/python -m tools.measure.baremetal $(if $(MICROPYTHON),--micropython $(MICROPYTHON)) $(if $(HEAP),--heap $(HEAP)) $(ARGS)

trim: .venv/stamp  ## what each part of a profile costs, and what is lost without it (BOARD=; without, docs/trimming.md)
	@$(BIN)/python -m tools.measure.trim $(BOARD)

lint: .venv/stamp  ## ruff, and mypy of the firmware against MicroPython's stubs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m tools.typecheck

setup: .venv/stamp  ## only the local environment

clean:  ## remove everything that was made, .venv too
	rm -rf build .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew when the pinned packages change.
.venv/stamp: pyproject.toml tools/setup.sh
	@if [ -f $@ ] && cksum pyproject.toml | cmp -s - $@; then touch $@; else tools/setup.sh; fi

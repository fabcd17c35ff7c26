# MicroPython's own NUCLEO_H743ZI2, with our pins and a station. `make image` writes the manifest.
FROZEN_MANIFEST ?= $(BOARD_DIR)/../../build/$(BOARD)/manifest.py

include boards/NUCLEO_H743ZI2/mpconfigboard.mk

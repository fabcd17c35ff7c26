"""Images for boards: the stock one with a partition for the station, and what the product image is built from."""

import hashlib
import struct
import sys
from types import SimpleNamespace

import pytest

from tools.flashing import Trouble, esp32, firmware, flash

LABELS = (("nvs", 1, 2, 0x9000, 0x6000), ("phy_init", 1, 1, 0xF000, 0x1000))
APP = ("factory", 0, 0, 0x10000, 0x1F0000)


def stock(*more, chip=0, start=0x1000) -> bytes:
    """An image as micropython.org has them: bootloader, table, application."""
    rows = b"".join(
        struct.pack("<HBBII16sI", 0x50AA, kind, sub, offset, size, name.encode(), 0)
        for name, kind, sub, offset, size in (*LABELS, APP, *more)
    )
    rows += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(rows).digest()
    boot = bytes([0xE9]) + bytes(11) + struct.pack("<H", chip)
    return boot.ljust(0x8000 - start, b"\xff") + rows.ljust(0x1000, b"\xff") + b"\xe9application"


def table(data: bytes, start: int) -> list:
    """(label, type, subtype, offset, size) of the rows; their sum is right."""
    at, rows = 0x8000 - start, []
    while data[at : at + 2] == b"\xaa\x50":
        _, kind, sub, offset, size, name, _ = struct.unpack_from("<HBBII16sI", data, at)
        rows.append((name.rstrip(b"\0").decode(), kind, sub, offset, size))
        at += 32
    assert data[at : at + 16] == b"\xeb\xeb" + b"\xff" * 14
    assert data[at + 16 : at + 32] == hashlib.md5(data[0x8000 - start : at]).digest()
    return rows


@pytest.mark.parametrize("chip, start", [(0, 0x1000), (5, 0), (9, 0)])
def test_the_partition_lies_behind_the_application(chip, start):
    image = stock(chip=chip, start=start)
    made = esp32.add(image, start, "milliamp", 0x27FFF)
    assert table(made, start) == [*LABELS, APP, ("milliamp", 1, 0x40, 0x200000, 0x28000)]
    assert len(made) == len(image)
    assert made[0x9000 - start :] == image[0x9000 - start :]
    assert made[: 0x8000 - start] == image[: 0x8000 - start]
    assert esp32.add(made, start, "milliamp", 0x28000) == made  # it has one


@pytest.mark.parametrize(
    "data, why",
    [
        (b"PK\x03\x04" + bytes(100), "no MicroPython image"),
        (stock(chip=77), "no MicroPython image"),
        (stock()[:0x6000], "no partition table"),
        (stock().replace(b"phy_init", b"phy_inix"), "no partition table"),  # its sum is wrong
        (stock(("vfs", 1, 0x81, 0x200000, 0x200000)), "1.26 or later"),
    ],
)
def test_an_image_that_will_not_do(data, why, tmp_path):
    file = tmp_path / "stock.bin"
    file.write_bytes(data)
    chosen = SimpleNamespace(flash={"journal": (0, 0x8000)}, flash_chip=0)
    with pytest.raises(Trouble, match=why) as trouble:
        esp32.with_partition(file, chosen)
    assert str(file) in str(trouble.value)


def test_a_flash_that_is_too_small_is_told(tmp_path):
    file = tmp_path / "stock.bin"
    file.write_bytes(stock())
    chosen = SimpleNamespace(flash={"journal": (0, 0x28000)}, flash_chip=0x200000)
    with pytest.raises(Trouble, match="the flash has"):
        esp32.with_partition(file, chosen)


def test_esptool_erases_then_writes(tmp_path):
    seen = tmp_path / "seen"
    tool = tmp_path / "esptool.py"
    tool.write_text(
        f"import sys\nopen({str(seen)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
    )
    esp32.write("/dev/ttyX", stock(chip=9, start=0), tmp_path, (sys.executable, str(tool)))
    first, second = seen.read_text().splitlines()
    assert first == "--chip esp32s3 --port /dev/ttyX --baud 460800 erase-flash"
    assert second.endswith(f"write-flash 0x0 {tmp_path}/micropython.bin")
    assert (tmp_path / "micropython.bin").read_bytes() == stock(chip=9, start=0)


def test_the_real_esptool_is_understood(tmp_path):
    with pytest.raises(Trouble, match="esptool could not write the board: .*ttyNOWHERE"):
        esp32.write("/dev/ttyNOWHERE", stock(), tmp_path)


def test_erasing_needs_something_to_write(capsys):
    assert flash.main(["sim", "--port", "/dev/ttyNOWHERE", "--erase"]) == 1
    assert "needs an image" in capsys.readouterr().err


# --- the product image -----------------------------------------------------------------------------


def sources(folder, version=(1, 28), modules=("micropython-lib", "stm32lib", "lwip", "mbedtls")):
    """A folder that looks like MicroPython's sources."""
    (folder / "py").mkdir()
    names = zip(("MAJOR", "MINOR"), version)
    text = "".join(f"#define MICROPY_VERSION_{name} {number}\n" for name, number in names)
    (folder / "py" / "mpconfig.h").write_text(text)
    for name in ("micropython-lib", "stm32lib", "lwip", "mbedtls"):
        (folder / "lib" / name).mkdir(parents=True)
        if name in modules:
            (folder / "lib" / name / "README.md").touch()
    return folder


def test_sources_are_asked_for(capsys, monkeypatch):
    monkeypatch.delenv("MICROPYTHON", raising=False)
    assert firmware.main(["sim"]) == 1
    assert "MICROPYTHON=<folder>" in capsys.readouterr().err


@pytest.mark.parametrize("version", [(1, 27), (0, 99)])
def test_old_sources_are_refused(version, tmp_path):
    with pytest.raises(Trouble, match="1.28 or later"):
        firmware.checked(str(sources(tmp_path, version)))


@pytest.mark.parametrize("version", [(1, 28), (2, 0)])
def test_newer_sources_will_do(version, tmp_path):
    assert firmware.checked(str(sources(tmp_path, version))) == tmp_path


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(Trouble, match="no MicroPython sources"):
        firmware.checked(str(tmp_path))


@pytest.mark.parametrize("port, what", [("esp32", "idf.py"), ("stm32", "arm-none-eabi-gcc")])
def test_a_compiler_that_is_missing_is_named(port, what, tmp_path):
    with pytest.raises(Trouble, match=f"there is no {what}"):
        firmware.complete(sources(tmp_path), port, path=str(tmp_path))


def test_submodules_that_are_missing_are_named(tmp_path):
    tool = tmp_path / "arm-none-eabi-gcc"
    for file in (tool, tmp_path / "make"):
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    with pytest.raises(Trouble, match="lacks lib/lwip: git .* --init lib/lwip$"):
        firmware.complete(
            sources(tmp_path, modules=("micropython-lib", "stm32lib", "mbedtls")),
            "stm32",
            path=str(tmp_path),
        )


@pytest.mark.parametrize(
    "definition, port",
    [("mpconfigboard.cmake", "esp32"), ("mpconfigboard.mk", "stm32"), ("probe.py", "unix")],
)
def test_the_board_says_its_port(definition, port, tmp_path):
    (tmp_path / definition).touch()
    assert firmware.port_of(SimpleNamespace(file=tmp_path / "profile.toml")) == port


def test_a_board_without_a_definition_is_told(tmp_path):
    with pytest.raises(Trouble, match="no board definition"):
        firmware.port_of(SimpleNamespace(file=tmp_path / "profile.toml"))


def test_the_build_runs_what_make_is_given(tmp_path, capsys, monkeypatch):
    # A port whose makefile only writes down what it was told.
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.py").write_text('include("$(PORT_DIR)/boards/manifest.py")\n')
    monkeypatch.setattr(firmware.builder, "build", lambda board, frozen: out)
    place = sources(tmp_path)
    port = place / "ports" / "unix"
    port.mkdir(parents=True)
    (port / "Makefile").write_text(
        "all:\n\t@mkdir -p $(BUILD)\n\t@echo '$(CC)' '$(VARIANT)' > $(BUILD)/micropython\n"
        "\t@cp $(FROZEN_MANIFEST) $(BUILD)/manifest\n\t@echo $(MICROPY_MPYCROSS) > $(BUILD)/cross\n"
    )
    cross = place / "mpy-cross"
    cross.mkdir()
    (cross / "Makefile").write_text(
        "all:\n\t@mkdir -p $(BUILD)\n\t@echo '$(CC)' > $(BUILD)/mpy-cross\n"
    )
    assert firmware.main(["sim", "--micropython", str(place), "--bits", "32"]) == 0
    made = out / "firmware"
    assert (made / "micropython").read_text() == "gcc -m32 standard\n"
    assert "/variants/standard/manifest.py" in (made / "manifest").read_text()
    # The cross compiler was there before, made for this machine, and the port uses it.
    assert (out / "mpy-cross" / "mpy-cross").read_text() == "cc\n"
    assert (made / "cross").read_text().strip() == f"{out}/mpy-cross/mpy-cross"
    (port / "Makefile").write_text("all:\n\t@echo 'x.c:1: error: no such thing'; exit 1\n")
    capsys.readouterr()
    assert firmware.main(["sim", "--micropython", str(place)]) == 1
    assert "x.c:1: error: no such thing" in capsys.readouterr().err
    assert (out / "firmware.log").is_file()

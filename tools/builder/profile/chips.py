"""The controllers that boards are built on: what their pins can do, and what they do by themselves."""

from dataclasses import dataclass, field


@dataclass
class Chip:
    """Pins by what they can do. `reserved` maps pins to what has them."""

    pins: set
    adc: set
    pwm: "set | dict"  # a dict where pins share an output: {pin: (timer, channel)}
    inputs: set = field(default_factory=set)  # input only
    pullless: set = field(default_factory=set)  # no pull resistors
    ghosts: set = field(default_factory=set)  # edges show there that nobody makes
    restless: set = field(
        default_factory=set
    )  # pulled up, or driven, from a reset until the firmware has them
    strapping: dict = field(default_factory=dict)  # what they mean at reset
    reserved: dict = field(default_factory=dict)
    spis: set = field(default_factory=set)  # numbers of the buses
    uarts: set = field(default_factory=set)  # but the console's
    millivolts: tuple = (0, 3300)  # that the ADC tells apart
    fixed_buses: bool = False  # UART and SPI have the pins that the MicroPython board gives them
    writes_wait: bool = False  # UART.write returns when the last byte has left
    counters: bool = False  # pulses are counted in hardware
    sector: int = 0  # of the flash that holds [flash]; 0: a chip of its own

    @staticmethod
    def call(pin) -> str:
        """How people write the pin."""
        return f"GPIO {pin}" if isinstance(pin, int) else str(pin)


def _range(*ends) -> set:
    return {pin for first, last in zip(ends[::2], ends[1::2]) for pin in range(first, last + 1)}


def _esp32(pins, adc, reserved, strapping, inputs=frozenset(), **rest) -> Chip:
    return Chip(
        pins,
        adc,
        pins - inputs,
        set(inputs),
        set(inputs),
        strapping=strapping,
        reserved={pin: why for ends, why in reserved for pin in _range(*ends)},
        sector=4096,
        **rest,
    )


def _stm32(**ports) -> set:
    return {f"P{port}{pin}" for port, ends in ports.items() for pin in _range(*ends)}


# A pin's output is its second TIMx_CHy that is not complementary, or its only one (ports/stm32/machine_pwm.c over
# boards/stm32h743_af.csv): timer, then pins by channel.
_H743_TIMERS = """
1 PA8 PA9 PA10 PA11
1 PE9 PE11 PE13 PE14
2 PA5 PB3 PB10 PB11
2 PA15
3 PB4 PB5 PB0 PB1
4 PB6 PB7 PB8 PB9
4 PD12 PD13 PD14 PD15
5 PA0 PA1 PA2 PA3
8 PC6 PC7 PC8 PC9
12 PB14 PB15
13 PA6
13 PF8
14 PA7
14 PF9
15 PE5 PE6
16 PF6
17 PF7
"""


def _outputs(rows: str) -> dict:
    return {
        pin: (int(timer), channel)
        for timer, *pins in (row.split() for row in rows.split("\n") if row)
        for channel, pin in enumerate(pins, 1)
    }


CHIPS = {
    # Only ADC1 works beside Wi-Fi. Pins at a reset: the pin lists of the data sheets.
    "ESP32": _esp32(
        _range(0, 19, 21, 23, 25, 27, 32, 39),
        _range(32, 39),
        (((6, 11), "the flash"), ((1, 1, 3, 3), "the console")),
        {
            0: "low at reset: download mode",
            2: "must not be high with 0 low",
            5: "high at reset",
            12: "high at reset: 1.8 V for the flash, which then does not start",
            15: "low at reset: no boot messages",
        },
        frozenset(range(34, 40)),
        ghosts={36, 39},  # whenever the radio or the ADC is powered: errata 3.11
        restless={0, 5, 14, 15},
        spis={1, 2},
        uarts={1, 2},
        millivolts=(150, 2450),
        counters=True,
    ),
    "ESP32-C3": _esp32(
        _range(0, 21),
        _range(0, 4),
        (((11, 17), "the flash"), ((18, 19), "the USB console")),
        {
            2: "must be high at reset",
            8: "must be high for a download",
            9: "low at reset: download mode",
        },
        restless={9, 20, 21},  # 21: the boot loader writes there
        spis={1},
        uarts={0, 1},
        millivolts=(150, 2400),
    ),
    "ESP32-S3": _esp32(
        _range(0, 21, 26, 48),
        _range(1, 10),
        (
            ((26, 32), "the flash and the PSRAM"),
            ((19, 20), "the USB console"),
            ((43, 44), "the console"),
        ),
        {
            0: "low at reset: download mode",
            3: "chooses the JTAG pins",
            45: "voltage of the flash",
            46: "must be low for a download",
        },
        restless={0},
        spis={1, 2},
        uarts={1, 2},
        millivolts=(150, 3000),
        counters=True,
    ),
    # LQFP144, as on the Nucleo: its buses, and the UARTs but 3, which is the console.
    "STM32H743": Chip(
        _stm32(**{port: (0, 15) for port in "ABCDEFG"}, H=(0, 1)),
        _stm32(A=(0, 7), B=(0, 1), C=(0, 5), F=(3, 14)),
        _outputs(_H743_TIMERS),
        reserved={
            "PA13": "the debugger",
            "PA14": "the debugger",
            "PC14": "the 32 kHz crystal",
            "PC15": "the 32 kHz crystal",
            "PH0": "the clock",
            "PH1": "the clock",
        },
        restless={"PA15", "PB3", "PB4"},  # JTAG until the firmware has them
        spis={3, 4},
        uarts={1, 2, 6, 7, 8},
        millivolts=(50, 3250),
        fixed_buses=True,
        writes_wait=True,
    ),
}

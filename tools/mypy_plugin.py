"""A mypy plugin for what MicroPython and the firmware's style have and the stubs cannot say."""

from mypy.plugin import Plugin
from mypy.types import AnyType, NoneType, TypeOfAny, get_proper_type


def _attribute(context):
    """What `__init__` sets to None and something else sets later may be anything; annotations that say so would
    put typing imports into the firmware."""
    if isinstance(get_proper_type(context.default_attr_type), NoneType):
        return AnyType(TypeOfAny.special_form)
    return context.default_attr_type


def _open_connection(context):
    """MicroPython's reader and writer are one stream, which has the methods of both."""
    return AnyType(TypeOfAny.special_form)


class Firmware(Plugin):
    """Hooks by name."""

    def get_attribute_hook(self, fullname: str):
        return _attribute

    def get_function_hook(self, fullname: str):
        is_it = fullname.startswith("asyncio.") and fullname.endswith(".open_connection")
        return _open_connection if is_it else None


def plugin(version: str):
    """Where mypy starts."""
    return Firmware

# Wi-Fi as a station. We own the policy, not the driver, which would try for ever and refuse to be told
# anything meanwhile: disconnect, wait, connect, wait for the result, again.
import network
from micropython import const

_RING = const(0x3FFFFFFF)
# Between disconnecting and connecting.
_PAUSE_MS = const(1000)
# For an access point and an address.
_PATIENCE_MS = const(20000)
# `ready` is called more often than that while there is no CSMS.
_IN_A_ROW_MS = const(60000)
# For a CSMS: after that the access point may be one that leads nowhere.
_ALONE_MS = const(600000)

_APART = const(0)
_CONNECTING = const(1)
_JOINED = const(2)


class Wifi:
    """Joins the network `ssid`; nothing is started before the first `ready`.

    What `status()` says is not asked for: on an ESP32 it is the reason of the last failure until there is an
    address, through all attempts that may lead to one.
    """

    def __init__(self, ssid: str, key: str):
        self._ssid = ssid
        self._key = key
        self._wlan = None
        self._phase = _APART
        # Ticks at which the phase began.
        self._at = 0
        # Ticks of the last call.
        self._asked = 0

    def ready(self, now: int) -> bool:
        """Is there an IP network? Takes one step towards it otherwise; never waits for the air."""
        if not self._ssid:
            return False
        quiet = (now - self._asked) & _RING
        waited = (now - self._at) & _RING
        self._asked = now
        try:
            if self._wlan is None:
                self._start()
            elif self._phase == _APART and waited < _PAUSE_MS:
                return False
            elif self._wlan.isconnected():
                if self._phase != _JOINED or quiet > _IN_A_ROW_MS:
                    self._phase = _JOINED
                    self._at = now
                elif waited >= _ALONE_MS:
                    return self._part(now)
                return True
            elif self._phase == _APART:
                self._wlan.connect(self._ssid, self._key)
                self._phase = _CONNECTING
            elif self._phase == _CONNECTING and waited < _PATIENCE_MS:
                return False
            else:
                return self._part(now)
        except OSError:
            # The driver was busy: begin again after the pause.
            self._phase = _APART
        self._at = now
        return False

    def _start(self):
        wlan = network.WLAN(network.WLAN.IF_STA)
        wlan.active(True)
        wlan.config(reconnects=0)
        # The mains feed us; sleeping costs 100 ms a round trip.
        wlan.config(pm=network.WLAN.PM_NONE)
        self._wlan = wlan

    def _part(self, now):
        self._phase = _APART
        self._at = now
        self._wlan.disconnect()
        return False

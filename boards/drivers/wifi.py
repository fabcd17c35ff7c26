# Wi-Fi as a station. We own the policy, not the driver, which would try for ever and refuse to be told
# anything meanwhile: disconnect, wait, connect, wait for the result, again.
import network
from micropython import const

_RING = const(0x3FFFFFFF)
_PAUSE_MS = const(1000)  # between disconnecting and connecting
_PATIENCE_MS = const(20000)  # for an access point and an address

_APART = const(0)
_CONNECTING = const(1)
_JOINED = const(2)


class Wifi:
    """Joins the network `ssid`; nothing is started before the first `ready`."""

    def __init__(self, ssid: str, key: str):
        self._ssid = ssid
        self._key = key
        self._wlan = None
        self._phase = _APART
        self._at = 0  # ticks at which the phase began

    def ready(self, now: int) -> bool:
        """Is there an IP network? Takes one step towards it otherwise; never waits for the air."""
        if not self._ssid:
            return False
        try:
            if self._wlan is None:
                self._start()
            elif self._wlan.isconnected():
                self._phase = _JOINED
                return True
            elif not self._step((now - self._at) & _RING):
                return False
        except OSError:  # the driver was busy: begin again after the pause
            self._phase = _APART
        self._at = now
        return False

    def _start(self):
        wlan = network.WLAN(network.WLAN.IF_STA)
        wlan.active(True)
        wlan.config(reconnects=0)
        wlan.config(
            pm=network.WLAN.PM_NONE
        )  # the mains feed us; sleeping costs 100 ms a round trip
        self._wlan = wlan

    def _step(self, waited):
        wlan = self._wlan
        if self._phase == _APART:
            if waited < _PAUSE_MS:
                return False
            wlan.connect(self._ssid, self._key)
            self._phase = _CONNECTING
            return True
        if (
            self._phase == _CONNECTING
            and waited < _PATIENCE_MS
            and wlan.status() == network.STAT_CONNECTING
        ):
            return False
        self._phase = _APART
        wlan.disconnect()
        return True

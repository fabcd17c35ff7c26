"""Network profiles and passwords against two CSMSs: where the real firmware connects to, and what it says there."""

import contextlib

import pytest

from hostsim.csms.server import Csms
from hostsim.lives.harness import rig, simulate
from hostsim.net.network import Network

OLD, NEW = "the-old-password-1", "the-new-password-2"
FAST = {
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
    "OCPPCommCtrlr.RetryBackOffRepeatTimes": "0",
    "OCPPCommCtrlr.NetworkProfileConnectionAttempts": "2",
}
PRIORITY = "OCPPCommCtrlr.NetworkConfigurationPriority"
PASSWORD = "SecurityCtrlr.BasicAuthPassword"


@contextlib.asynccontextmanager
async def elsewhere(this, password=OLD):
    """Another CSMS, with a network of its own."""
    csms = Csms(this.clock, password=password, excuse=this.traffic.excuse)
    await csms.start()
    network = Network(this.clock, csms.url(), this.traffic)
    await network.start()
    try:
        yield csms, network
    finally:
        await network.stop()
        await csms.stop()


def profile(url, slot=2, **data):
    data = {
        "ocppVersion": "OCPP20",
        "ocppTransport": "JSON",
        "ocppCsmsUrl": url,
        "messageTimeout": 17,
        "securityProfile": 1,
        "ocppInterface": "Wired0",
    } | data
    return {"configurationSlot": slot, "connectionData": data}


async def store(csms, url, slot=2, **data):
    """The status of a SetNetworkProfile, and why."""
    answer = await csms.call("SetNetworkProfile", profile(url, slot, **data))
    return answer["status"], answer.get("statusInfo", {}).get("reasonCode")


def named(name):
    component, _, variable = name.partition(".")
    variable, _, instance = variable.partition(".")
    variable = {"name": variable} | ({"instance": instance} if instance else {})
    return {"component": {"name": component}, "variable": variable}


async def put(csms, name, value):
    """The status of a SetVariables, and why."""
    item = named(name) | {"attributeValue": value}
    (result,) = (await csms.call("SetVariables", {"setVariableData": [item]}))["setVariableResult"]
    return result["attributeStatus"], result.get("attributeStatusInfo", {}).get("reasonCode")


async def get(csms, name):
    (result,) = (await csms.call("GetVariables", {"getVariableData": [named(name)]}))[
        "getVariableResult"
    ]
    return result["attributeValue"]


async def state(csms):
    names = "ActiveNetworkProfile", "MessageTimeout.Default", "NetworkConfigurationPriority"
    return [await get(csms, "OCPPCommCtrlr." + name) for name in names]


async def boot(csms, since=0):
    """The BootNotification, and a status of the connector, in one connection."""
    seen = await csms.seen("BootNotification", since=since)
    await csms.seen("StatusNotification", since=since)
    return seen


# --- what is stored --------------------------------------------------------------------------------------


@simulate
async def test_what_may_be_stored():
    async with rig(password=OLD, settings=FAST) as this:
        csms, url = this.csms, "ws://csms.example:8080/ocpp"
        apn = {"apn": "internet", "apnAuthentication": "AUTO"}
        vpn = {"server": "v", "user": "u", "password": "p", "key": "k", "type": "IPSec"}
        invalid = ("Rejected", "InvalidNetworkConf")
        for data in (
            {"ocppVersion": "OCPP16"},
            {"ocppTransport": "SOAP"},
            {"ocppInterface": "Wireless1"},
            {"messageTimeout": 0},
            {"messageTimeout": -1},
            {"messageTimeout": 3601},
            {"securityProfile": 4},
            {"securityProfile": -1},
            {"securityProfile": 2},  # which has TLS
            {"apn": apn},
            {"vpn": vpn},
        ):
            assert await store(csms, url, **data) == invalid, data
        for bad in (
            "",
            "http://csms.example",
            "wss://csms.example",
            "ws://",
            "ws://csms.example:port",
            "ws://csms example",
            "ws://csms.example/#tenant",
            "ws://me@csms.example/",
            "ws://csms.example/ö",
        ):
            assert await store(csms, bad) == invalid, bad
        for slot in (0, 3, 999, -1):
            assert await store(csms, url, slot) == ("Rejected", "InvalidConfSlot")
        assert await store(csms, url, securityProfile=0) == ("Rejected", "NoSecurityDowngrade")
        assert await store(csms, url, slot=1) == ("Rejected", "PriorityNetworkConf"), (
            "it is in use"
        )
        assert await put(csms, PRIORITY, "2,1") == invalid, "nothing was stored"
        assert await put(csms, PRIORITY, "1,3") == ("Rejected", "InvalidValue")
        assert await store(csms, url, customData={"vendorId": "x"}) == ("Accepted", None)
        assert await store(csms, url, ocppInterface="Wireless0") == ("Accepted", None)
        assert await store(csms, "ws://csms.example/?tenant=1") == ("Accepted", None)
        assert await put(csms, PRIORITY, "2, 1") == ("RebootRequired", None)
        assert await state(csms) == ["1", "30", "2,1"]
        long = "ws://csms.example/" + "x" * 494
        assert len(long) == 512
        assert await store(csms, long) == ("Accepted", None)
        assert this.csms.connections == 1
        assert not this.problems()


@simulate
async def test_tls_waits_for_a_root_certificate():
    async with rig(password=OLD, settings=FAST) as this:
        csms, url = this.csms, "wss://csms.example/ocpp"
        lacking = ("Rejected", "InvalidCertificate")
        for security in (2, 3):
            assert await store(csms, url, securityProfile=security) == ("Accepted", None)
            assert await put(csms, PRIORITY, "2,1") == lacking
        assert await store(csms, "ws://csms.example/ocpp") == ("Accepted", None)
        assert await put(csms, PRIORITY, "2,1") == ("RebootRequired", None)
        assert await store(csms, url, securityProfile=2) == lacking, "it is in the list"


@simulate
async def test_basic_authentication_needs_a_password():
    async with rig(settings=FAST) as this:
        csms, url = this.csms, "ws://csms.example/ocpp"
        assert await get(csms, "SecurityCtrlr.SecurityProfile") == "0"
        assert await store(csms, url, securityProfile=1) == ("Accepted", None)
        assert await put(csms, PRIORITY, "2") == ("Rejected", "InvalidNetworkConf")
        assert await store(csms, url, securityProfile=0) == ("Accepted", None)
        assert await put(csms, PRIORITY, "2") == ("RebootRequired", None)


# --- where it connects to ----------------------------------------------------------------------------------


@simulate
async def test_migration_by_a_reset_and_back_by_a_loss():
    async with rig(password=OLD, settings=FAST) as this, elsewhere(this) as (other, network):
        assert await store(this.csms, network.url()) == ("Accepted", None)
        assert await put(this.csms, PRIORITY, "2,1") == ("RebootRequired", None)
        assert (await this.call("Reset", {"type": "Immediate"}))["status"] == "Accepted"
        assert (await boot(other))["reason"] == "RemoteReset"
        assert await state(other) == ["2", "17", "2,1"]
        assert await get(other, "SecurityCtrlr.SecurityProfile") == "1"
        assert this.csms.peer is None
        # The slot that is in use cannot be changed, the other one can although the list has it.
        assert await store(other, network.url()) == ("Rejected", "PriorityNetworkConf")
        url = this.network.url()
        assert await store(other, url, slot=1, messageTimeout=20) == ("Accepted", None)
        # A lost connection: the same CSMS again, which knows the station.
        mark = other.mark()
        await other.peer._connection.close(1001)
        await other.until(lambda: other.connections == 2)
        await this.clock.sleep(5)
        assert not [call for call in other.received[mark:] if call.action == "BootNotification"]
        # It is gone for good: the next one, which has to get to know the station.
        mark = this.csms.mark()
        await network.set("refuse")
        assert await boot(this.csms, mark)
        assert await state(this.csms) == ["1", "20", "2,1"]
        # The list holds after a power cut, too.
        await network.set("on")
        mark = other.mark()
        await this.device.power_cycle()
        await boot(other, mark)
        assert await state(other) == ["2", "17", "2,1"]
        assert not this.problems()
        assert not other.ledger.problems()


@simulate
async def test_a_new_priority_holds_when_the_connection_is_lost():
    async with rig(settings=FAST) as this, elsewhere(this, None) as (other, network):
        assert await store(this.csms, network.url(), securityProfile=0) == ("Accepted", None)
        assert await put(this.csms, PRIORITY, "2") == ("RebootRequired", None)
        await this.clock.sleep(5)
        assert other.connections == 0
        other.boots = [("Pending", 5), ("Accepted", 300)]
        await this.csms.peer._connection.close(1001)
        assert (await boot(other))["reason"] == "PowerUp"
        assert [call.action for call in other.received[:2]] == ["BootNotification"] * 2
        assert await state(other) == ["2", "17", "2"]
        assert not this.problems()


@pytest.mark.parametrize("how", ("refuse", "password"))
@simulate
async def test_a_csms_that_never_answers_is_given_up(how):
    async with rig(password=OLD, settings=FAST) as this:
        async with elsewhere(this, NEW) as (other, network):
            assert await store(this.csms, network.url()) == ("Accepted", None)
            assert await put(this.csms, PRIORITY, "2") == ("RebootRequired", None)
            if how == "refuse":
                await network.set("refuse")
            mark = this.csms.mark()
            assert (await this.call("Reset", {"type": "Immediate"}))["status"] == "Accepted"
            # The list has nothing else, so it is the one that was good last.
            await boot(this.csms, mark)
            assert await state(this.csms) == ["1", "30", "2"]
            assert other.connections == 0
            assert not this.problems()


@simulate
async def test_an_event_of_one_csms_is_delivered_to_the_next():
    async with rig(password=OLD, settings=FAST) as this, elsewhere(this) as (other, network):
        other.knows("04A2B3C4D5E6F7")
        await this.charging()
        assert await store(this.csms, network.url()) == ("Accepted", None)
        assert await put(this.csms, PRIORITY, "2,1") == ("RebootRequired", None)
        await this.network.set("refuse")
        await boot(other)
        await this.stopped()
        await other.seen("TransactionEvent", lambda event: event["eventType"] == "Ended")
        first = {event["seqNo"] for event in _events(this.csms)}
        assert first | {event["seqNo"] for event in _events(other)} == set(
            range(len(first) + len(_events(other)))
        )


def _events(csms):
    return [call.payload for call in csms.received if call.action == "TransactionEvent"]


# --- passwords -------------------------------------------------------------------------------------------------


@simulate
async def test_a_new_password_is_used_at_once():
    settings = FAST | {"OCPPCommCtrlr.RetryBackOffWaitMinimum": "60"}
    async with rig(password=OLD, settings=settings) as this:
        lines = []
        this.station.device.on_log.append(lines.append)
        assert await put(this.csms, PASSWORD, NEW) == ("Accepted", None)
        this.csms._password = NEW
        await this.csms.until(lambda: this.csms.connections == 2, timeout=20)
        assert await get(this.csms, "SecurityCtrlr.SecurityProfile") == "1"
        await this.clock.sleep(3)
        # The CSMS speaks, so the old one is forgotten: after a refusal it is not tried.
        this.csms._password = OLD
        await this.device.power_cycle()
        await this.clock.sleep(200)
        assert this.csms.connections == 2
        this.csms._password = NEW
        await this.csms.until(lambda: this.csms.connections == 3)
        assert not [line for line in lines if NEW in line or OLD in line]
        assert not [line for line in this.problems() if "401" not in line]


@simulate
async def test_a_password_that_the_csms_refuses():
    async with rig(password=OLD, settings=FAST) as this:
        lines = []
        this.station.device.on_log.append(lines.append)
        assert await put(this.csms, PASSWORD, NEW) == ("Accepted", None)
        await this.csms.until(lambda: this.csms.connections == 2)  # the old one, again
        await this.clock.sleep(3)
        await this.device.power_cycle()  # and after it
        await this.csms.until(lambda: this.csms.connections == 3)
        await this.booted()
        this.csms._password = NEW
        await this.csms.peer._connection.close(1001)
        await this.csms.until(lambda: this.csms.connections == 4)
        assert len([line for line in lines if "401" in line]) >= 2
        assert not [line for line in lines if NEW in line or OLD in line]
        assert not [line for line in this.problems() if "401" not in line]

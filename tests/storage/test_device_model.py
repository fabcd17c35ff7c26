"""The packed device model: lookups, values, and what a CSMS may write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milliamp.storage import device_model as firmware
from tools.builder import profile
from tools.builder.tables import device_model

VARIABLES = device_model.load()
IDS = {variable.path: variable.data["id"] for variable in VARIABLES}
ACCEPTED, REJECTED, REBOOT_REQUIRED = 0, 1, 2


class Settings(dict):
    """Settings as the model uses them."""

    def put(self, *pairs):
        self.update(pairs)


class Bus:
    def __init__(self):
        self.told = []

    def tell(self, fact, evse=0, arg=None):
        self.told.append((fact, evse, arg))


def make(board="sim", live=None, **overrides):
    """A model of a board, with its settings and bus."""
    entries = device_model.expand(VARIABLES, profile.load(board, **overrides))
    return firmware.Model(device_model.pack(entries), Settings(), live or (lambda *_: None), Bus())


@pytest.fixture
def model():
    return make()


def find(model, path, evse=0, connector=0):
    component, variable, instance = (path.split(".") + [None])[:3]
    return model.find(component, None, evse, connector, variable, instance)


def test_every_core_variable_is_there(model):
    """The 54 of OCPP 2.0.1 Core have the ids 1 to 54."""
    found = set()
    for entry in range(model.count):
        component, _, _, _, variable, instance, *_ = model.fields(entry)
        found.add(IDS[".".join(filter(None, (component, variable, instance)))])
    assert found >= set(range(1, 55))


def test_find_agrees_with_fields(model):
    for entry in range(model.count):
        component, c_instance, evse, connector, variable, instance, *_ = model.fields(entry)
        assert (
            model.find(component.upper(), c_instance, evse, connector, variable.lower(), instance)
            == entry
        )


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("NoSuchCtrlr", None, 0, 0, "Enabled", None), -1),
        (("AuthCtrlr", "instance", 0, 0, "Enabled", None), -1),
        (("AuthCtrlr", None, 1, 0, "Enabled", None), -1),
        (("EVSE", None, 0, 0, "Power", None), -1),
        (("EVSE", None, 2, 0, "Power", None), -1),
        (("Connector", None, 1, 0, "Available", None), -1),
        (("AuthCtrlr", None, 0, 0, "NoSuchVariable", None), -2),
        (("AuthCtrlr", None, 0, 0, "Enabled", "instance"), -2),
        (("OCPPCommCtrlr", None, 0, 0, "MessageAttempts", None), -2),  # B06.FR.14: instances only
        (("", "", 0, 0, "", ""), -1),
    ],
)
def test_what_is_not_there(model, place, expected):
    assert model.find(*place) == expected


@given(st.text(), st.text(), st.text())
def test_find_never_fails(component, variable, instance):
    assert make().find(component, instance, 0, 0, variable, instance) in (-1, -2)


def test_get_has_defaults_and_follows_settings(model):
    id = IDS["SampledDataCtrlr.TxUpdatedInterval"]
    assert model.get(id) == 60
    model.put(model.entry(id), 7)
    assert model.get(id) == 7
    assert model.get(IDS["TxCtrlr.TxStopPoint"]) == "EVConnected,Authorized"
    assert model.get(IDS["AuthCtrlr.LocalPreAuthorize"]) == 0


def test_get_of_what_this_board_lacks_is_a_key_error(model):
    for id in (0, 1000, 0xFFFF):
        with pytest.raises(KeyError):
            model.get(id)
    with pytest.raises(KeyError):
        model.get(IDS["EVSE.Power"], 2)


def test_each_evse_has_its_own():
    seen = []
    model = make(evses=3, live=lambda *place: seen.append(place) or 1500)
    assert model.get(IDS["EVSE.Power"], 3) == 1500
    assert model.get(IDS["Connector.AvailabilityState"], 2, 1) == 1500
    assert seen == [(IDS["EVSE.Power"], 3, 0), (IDS["Connector.AvailabilityState"], 2, 1)]
    entry = find(model, "EVSE.AllowReset", 2)
    model.put(entry, 1)
    assert [model.get(IDS["EVSE.AllowReset"], evse) for evse in (1, 2, 3)] == [0, 1, 0]


def test_live_texts():
    values = {IDS["EVSE.Power"]: 7360, IDS["ConnectorPlugRetentionLock.Problem"]: True}
    model = make(live=lambda id, evse, connector: values.get(id))
    assert model.text(find(model, "EVSE.Power", 1)) == "7360"
    assert model.text(find(model, "ConnectorPlugRetentionLock.Problem", 1, 1)) == "true"
    assert model.text(find(model, "ClockCtrlr.DateTime")) == ""


def test_the_password_is_written_and_never_read(model):
    entry = find(model, "SecurityCtrlr.BasicAuthPassword")
    assert model.text(entry) is None
    assert model.fields(entry)[6] == "WriteOnly"
    for text in (
        "fifteen-chars-x",
        "x" * 41,
        "sixteen chars xx",
        "\u00e4" * 16,
        "sixteen\r\nchars-x",
    ):
        assert model.set(entry, text) == REJECTED
    assert model._settings == {}
    assert model.set(entry, "sixteen-chars-xx") == ACCEPTED
    assert list(model._settings.values()) == ["sixteen-chars-xx"]
    assert list(model._settings)[0] == device_model.settings_keys()["PASSWORD"]


@pytest.mark.parametrize(
    ("path", "text", "stored"),
    [
        ("OCPPCommCtrlr.OfflineThreshold", "300", 300),
        ("OCPPCommCtrlr.OfflineThreshold", "000300", 300),
        ("OCPPCommCtrlr.RetryBackOffRandomRange", "0", 0),
        ("AuthCtrlr.LocalPreAuthorize", "true", 1),
        ("AuthCtrlr.AuthorizeRemoteStart", "FALSE", 0),
        ("TxCtrlr.TxStartPoint", "Authorized", "Authorized"),
        ("TxCtrlr.TxStopPoint", "EVConnected, Authorized", "EVConnected,Authorized"),
        ("SampledDataCtrlr.TxEndedMeasurands", "", ""),
        ("SecurityCtrlr.OrganizationName", "Überlandwerk", "Überlandwerk"),
    ],
)
def test_what_may_be_written(model, path, text, stored):
    assert model.set(find(model, path), text) == ACCEPTED
    assert model.get(IDS[path]) == stored
    assert model.reason == ""
    assert model._bus.told == [(0x4000, 0, IDS[path])]


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("OCPPCommCtrlr.WebSocketPingInterval", "-1", "ValueTooLow"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "86401", "ValueTooHigh"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "1e3", "InvalidValue"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "60.5", "InvalidValue"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "60.0", "InvalidValue"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "", "InvalidValue"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "-", "InvalidValue"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "--1", "InvalidValue"),
        ("OCPPCommCtrlr.WebSocketPingInterval", " 5", "InvalidValue"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "٣", "InvalidValue"),
        ("OCPPCommCtrlr.WebSocketPingInterval", "9" * 1000, "InvalidValue"),
        ("TxCtrlr.EVConnectionTimeOut", "0", "ValueTooLow"),
        ("AuthCtrlr.Enabled", "1", "InvalidValue"),
        ("TxCtrlr.TxStartPoint", "", "InvalidValue"),
        ("TxCtrlr.TxStartPoint", "DataSigned", "InvalidValue"),
        ("TxCtrlr.TxStopPoint", "Authorized,Authorized", "InvalidValue"),
        ("TxCtrlr.TxStopPoint", "Authorized,", "InvalidValue"),
        ("OCPPCommCtrlr.NetworkConfigurationPriority", "3", "InvalidValue"),
        ("AuthCtrlr.MasterPassGroupId", "x" * 37, "ValueOutOfRange"),
        ("SecurityCtrlr.OrganizationName", "", "ValueOutOfRange"),
        ("ClockCtrlr.DateTime", "2026-11-20T00:00:00Z", "ReadOnly"),
        ("ChargingStation.Model", "other", "ReadOnly"),
        ("DeviceDataCtrlr.ItemsPerMessage.GetVariables", "5", "ReadOnly"),
    ],
)
def test_what_may_not(model, path, text, reason):
    assert model.set(find(model, path), text) == REJECTED
    assert model.reason == reason
    assert model._settings == {}
    assert model._bus.told == []


def test_a_variable_may_need_a_reboot(model):
    assert (
        model.set(find(model, "OCPPCommCtrlr.NetworkConfigurationPriority"), "2,1")
        == REBOOT_REQUIRED
    )
    assert model.text(find(model, "OCPPCommCtrlr.NetworkConfigurationPriority")) == "2,1"


def test_a_full_flash_rejects(model):
    def full(*pairs):
        raise OSError(28)

    model._settings.put = full
    assert model.set(find(model, "OCPPCommCtrlr.OfflineThreshold"), "300") == REJECTED
    assert model.reason == "OutOfStorage"


@given(st.sampled_from(range(make().count)), st.text(max_size=60))
def test_what_is_accepted_reads_back_valid(entry, text):
    """Whatever is written: the value that holds afterwards is one that could be written again."""
    model = make()
    before = model.text(entry)
    status = model.set(entry, text)
    after = model.text(entry)
    if status == REJECTED:
        assert after == before
        assert model.reason
    elif after is not None:
        assert model.set(entry, after) == status
        assert model.text(entry) == after


@given(st.integers(-(10**8), 10**8), st.integers(0, 3))
def test_decimals_are_integers_with_digits(value, digits):
    scale = 10**digits
    whole = abs(value) // scale
    text = ("-" if value < 0 else "") + str(whole)
    if digits:
        text += "." + str(abs(value) % scale).zfill(digits)
    assert firmware._number(text, digits) == value


def test_reports_carry_the_characteristics(model):
    assert model.fields(find(model, "EVSE.Power", 1))[6:] == (
        "ReadOnly",
        "decimal",
        "W",
        None,
        22080,
        "",
    )
    start = model.fields(find(model, "TxCtrlr.TxStartPoint"))
    assert start[6:11] == ("ReadWrite", "MemberList", "", None, None)
    assert "PowerPathClosed" in start[11].split(",")
    for entry in range(model.count):
        *_, kind, _, _, _, values = model.fields(entry)
        value = model.text(entry)
        if kind.endswith("List"):
            assert values
            assert not value or set(value.split(",")) <= set(values.split(","))

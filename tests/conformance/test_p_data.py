"""P: data transfer and custom data."""

from tests.conformance.octt import check, variable

VENDOR = "org.openchargealliance.octt"


async def test_TC_P_01_CS(octt):
    answer = await octt.call("DataTransfer", {"vendorId": VENDOR, "messageId": "Unused"})
    check(answer, {"status": ("UnknownVendorId", "UnknownMessageId", "Rejected")})


async def test_TC_P_03_CS(octt):
    custom = {"customData": {"vendorId": VENDOR, "anything": {"at": ["all", 1, None]}}}
    name = variable("OCPPCommCtrlr.OfflineThreshold") | {"attributeType": "Actual"} | custom
    request = {"setVariableData": [name | {"attributeValue": "200"}]} | custom
    answer = await octt.call("SetVariables", request)
    check(answer, {"setVariableResult.0.attributeStatus": "Accepted"})
    answer = await octt.call("GetVariables", {"getVariableData": [name]} | custom)
    wanted = {
        "attributeStatus": "Accepted",
        "attributeType": "Actual",
        "attributeValue": "200",
    }
    check(answer["getVariableResult"][0], wanted)

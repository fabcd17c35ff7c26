"""A: security. What needs TLS or certificates waits for them."""

import re

from tests.conformance import states
from tests.conformance.octt import check, variable

NEW_PASSWORD = "new-milliamp-9876543210"


async def test_TC_A_01_CS(octt):
    await octt.configure({"SecurityCtrlr.BasicAuthPassword": octt.password})
    await octt.connected()
    await states.booted(octt)
    _authenticated(octt, octt.password)


async def test_TC_A_09_CS(octt):
    octt.excuse("401")
    before = octt.csms.connections
    status = await _set_password(octt, NEW_PASSWORD)
    assert status in ("Accepted", "RebootRequired")
    octt.csms._password = NEW_PASSWORD
    if status == "RebootRequired":
        await states.booted(octt)
    else:
        await octt.csms.until(lambda: octt.csms.connections > before, "new connection")
        await octt.connected()
    _authenticated(octt, NEW_PASSWORD)


async def test_TC_A_10_CS(octt):
    assert await _set_password(octt, "short-password1") == "Rejected"
    await octt.close()
    await octt.connected()
    _authenticated(octt, octt.password)
    await states.booted(octt)
    _authenticated(octt, octt.password)


async def _set_password(octt, word) -> str:
    item = variable("SecurityCtrlr.BasicAuthPassword") | {"attributeValue": word}
    answer = await octt.csms.call("SetVariables", {"setVariableData": [item]})
    (result,) = answer["setVariableResult"]
    check(result, {"variable.name": "BasicAuthPassword", "component.name": "SecurityCtrlr"})
    return result["attributeStatus"]


def _authenticated(octt, password) -> None:
    """User and password of the connection: the identity at the end of its URL, 16 to 40 allowed characters."""
    user, word = octt.authorization()
    assert user == octt.csms.peer.id
    assert word == password
    assert re.fullmatch(r"[A-Za-z0-9*\-_=:+|@.]{16,40}", word)

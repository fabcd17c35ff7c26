# Diagnostics (functional block N): logs that the CSMS fetches, and what the station knows of a customer.
#
# It is imported when it is first asked for, and its state is there only while there is something to do.
import asyncio
import gc

from micropython import const

from milliamp.domain import tokens
from milliamp.storage import security_log
from milliamp.storage.keys import _IDENTITY
from milliamp.wire import http, link, types
from milliamp.wire.gates import _WHEN_ACCEPTED

_MOST_RETRIES = const(100)
_PAUSE = const(60)  # seconds between two attempts, where the CSMS names none
_LONGEST_PAUSE = const(86400)


class Upload:
    """A log on its way, at most one. An attempt begins when the CSMS has heard of it, so that it hears
    everything in order; the last status that it hears of ends it."""

    def __init__(self, request_id, status: str):
        self.request_id = request_id
        self.status = status  # UploadLogStatusEnumType
        self.told = False  # the CSMS knows it
        self.before = None  # (requestId, status): the last word on what this one replaced
        self.what = None  # (URL, is it the security log?, oldest and latest time or None)
        self.retries = 0  # attempts that are left after this one
        self.pause = 0  # ms from one attempt to the next
        self.since = 0  # ticks at which the last one began
        self.task = None  # while it runs


# --- logs -------------------------------------------------------------------------------------------


def get_log(st, r, at, w):
    """N01. A second request cancels the first."""
    where = r.get(at, "log")
    url = r.text(r.get(where, "remoteLocation"))
    security = r.same(r.get(at, "logType"), "SecurityLog")
    if not http.place(url):
        return w.status("Rejected", "InvalidURL")
    if security and "logs" not in st.profile.FLASH:
        return w.status("Rejected", "NotFound")
    name = _name(st, "security" if security else "diagnostics")
    if url.endswith("/"):
        url = link.url(url, name)
    else:
        name = url[7:].partition("/")[2].partition("?")[0].rpartition("/")[2] or name
    own = Upload(r.number(r.get(at, "requestId")), "Uploading")
    parse = st.clock.parse
    oldest, latest = r.get(where, "oldestTimestamp"), r.get(where, "latestTimestamp")
    own.what = url, security, parse(r.text(oldest) or ""), parse(r.text(latest) or "")
    pause = r.number(r.get(at, "retryInterval"))
    own.pause = min(max(_PAUSE if pause is None else pause, 0), _LONGEST_PAUSE) * 1000
    own.retries = min(max(r.number(r.get(at, "retries")) or 0, 0), _MOST_RETRIES)
    w.object()
    w.field("status", "AcceptedCanceled" if _replaces(st.upload, own) else "Accepted")
    w.field("filename", name[:255])
    w.end()
    st.upload = own


def _name(st, kind):
    time = st.clock.text(st.clock.now()).replace(":", "")
    return "%s-%s-%s.log" % (st.settings.get(_IDENTITY) or st.profile.IDENTITY, kind, time)


def _replaces(old, own):
    """Put an upload in the place of another; True: that one was not over yet."""
    if old is None or old.request_id is None:
        return False
    ongoing = old.status == "Uploading" or old.retries > 0
    if old.task is not None:
        old.task.cancel()
    if ongoing:
        own.before = old.request_id, "AcceptedCanceled"
    elif not old.told:
        own.before = old.request_id, old.status
    return ongoing


def _status_due(st):
    own = st.upload
    if own is None:
        return None
    if own.before is not None:
        return own, own.before
    if own.told:
        if own.task is not None or st.clock.since(own.since) < own.pause:
            return None
        own.retries -= 1
        own.status = "Uploading"
        own.told = False
    return own, (own.request_id, own.status)


def _status_render(st, w, cursor):
    request_id, status = cursor[1]
    w.object()
    w.field("status", status)
    w.field("requestId", request_id)
    w.end()


def _status_answered(st, cursor, r, at):
    own, told = cursor
    if own is not st.upload:
        return
    if told is own.before:
        own.before = None
    elif told[1] == own.status:
        own.told = True
        if own.status == "Uploading":
            if own.task is None:
                own.since = st.clock.ticks()
                own.task = asyncio.create_task(_attempt(st, own))
        elif not own.retries:
            st.upload = None


async def _attempt(st, own):
    # The one task of this block. It ends within a minute, whatever the server does.
    try:
        status = await _send(st, *own.what)
    except Exception as error:
        st.log.warn("upload: %r" % error)
        status = "UploadFailure"
    if status == "Uploaded":
        own.retries = 0
    own.status = status
    own.told = False
    own.task = None
    st.outbox.wake()


async def _send(st, url, security, oldest, latest):
    title = "%s %s %s %s %s\n" % (
        st.profile.VENDOR,
        st.profile.MODEL,
        st.profile.SERIAL,
        st.profile.VERSION,
        st.clock.text(st.clock.now()),
    )
    size = 0
    if security:
        for piece in _security(st, title, oldest, latest):
            size += len(piece)
            await asyncio.sleep_ms(0)
        pieces = _security(st, title, oldest, latest)
    else:
        pieces = [piece.encode() for piece in (title, _figures(st), st.log.tail())]
        size = sum(len(piece) for piece in pieces)
    status = await http.put(url, size, pieces)
    if status // 100 == 2:
        return "Uploaded"
    st.log.warn("upload: HTTP status %d" % status)
    if status in (401, 403, 407):
        return "PermissionDenied"
    if status in (0, 400):
        return "BadMessage"
    return "NotSupportedOperation" if status in (405, 501) else "UploadFailure"


def _security(st, title, oldest, latest):
    """The lines of the security log. A time that was a guess has a question mark."""
    yield title.encode()
    for time, guess, text in security_log.read(st.board.flash("logs")):
        if (oldest is None or time >= oldest) and (latest is None or time <= latest):
            yield ("%s%s %s\n" % (st.clock.text(time), "?" if guess else "", text)).encode()


def _figures(st):
    """Figures for the diagnostics log; the counters in the order of base/counts.py."""
    free = gc.mem_free() if hasattr(gc, "mem_free") else 0
    return "boot %d %s\nheap free %d\njournal %s\ncounters %s\n" % (
        st.journal.boot,
        st.boot_reason,
        free,
        " ".join(str(count) for count in st.journal.counts()),
        " ".join(str(count) for count in st.counters),
    )


def trigger_status(st, index, connector):
    """TriggerMessage LogStatusNotification: Idle when nothing is uploaded (F06.FR.15)."""
    if st.upload is None:
        st.upload = Upload(None, "Idle")
    st.upload.told = False
    return True


# --- customer information ---------------------------------------------------------------------------


def customer_information(st, r, at, w):
    """N09, N10: report what is stored of a customer, or forget it, or both."""
    report, clear = r.boolean(r.get(at, "report")), r.boolean(r.get(at, "clear"))
    where = r.get(at, "idToken")
    others = bool(r.get(at, "customerIdentifier")) + bool(r.get(at, "customerCertificate"))
    if bool(where) + others != 1:
        return w.status("Invalid")
    if not (report or clear) or st.inquiry is not None:
        return w.status("Rejected")
    parts = []
    if where:  # nothing is stored by the other two
        token = types.read_token(r, where)
        if report:
            parts = _known(st, token)
    if not parts:
        parts.append("No data" if report else "Cleared")
    st.inquiry = [r.number(r.get(at, "requestId")), 0, parts]
    w.status("Accepted")


def _known(st, token):
    # What is stored of a token, one text a message.
    parts = []
    hashed = tokens.token_hash(token)
    for e in st.evses:
        if e.tx is not None and e.tx.token_hash == hashed:
            name, time = st.journal.transaction_id(e.tx.counter), st.clock.text(e.tx.started)
            parts.append("transaction %s on EVSE %d since %s" % (name, e.index, time))
        elif e.authorized and e.token_hash == hashed:
            parts.append("authorized on EVSE %d" % e.index)
    return parts


def _inquiry_due(st):
    return st.inquiry


def _inquiry_render(st, w, cursor):
    request_id, seq, parts = cursor
    w.object()
    w.field("data", parts[seq])
    if seq + 1 < len(parts):
        w.field("tbc", True)
    w.field("seqNo", seq)
    w.key("generatedAt").time(st.clock.now())
    w.field("requestId", request_id)
    w.end()


def _inquiry_answered(st, cursor, r, at):
    """Whatever the answer: the CSMS has it, or does not want it."""
    cursor[1] += 1
    if cursor[1] == len(cursor[2]):
        st.inquiry = None


CALLS = {"GetLog": get_log, "CustomerInformation": customer_information}
TRIGGERS = {"LogStatusNotification": trigger_status}
SENDS = (
    (4, _WHEN_ACCEPTED, "LogStatusNotification", _status_due, _status_render, _status_answered),
    (
        5,
        _WHEN_ACCEPTED,
        "NotifyCustomerInformation",
        _inquiry_due,
        _inquiry_render,
        _inquiry_answered,
    ),
)

# DataTransfer (functional block P): no vendor extension is known here, and that is what the CSMS hears.


def data_transfer(st, r, at, w):
    """P01: every vendorId is unknown."""
    w.status("UnknownVendorId")


CALLS = {"DataTransfer": data_transfer}

import hypothesis

from hostsim import cpython
from tools import build

cpython.install(build.tables("sim"))

# A busy machine is no failing test: how long an example takes is nobody's fault.
hypothesis.settings.register_profile(
    "milliamp",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
)
hypothesis.settings.load_profile("milliamp")

from hostsim import cpython
from tools import build

cpython.install(build.tables("sim"))

from hostsim import cpython

cpython.install()

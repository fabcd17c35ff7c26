"""The host side of Milliamp: CSMS, virtual hardware, power switch, network, and the programs that use them."""

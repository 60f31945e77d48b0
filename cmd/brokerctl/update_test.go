package main

import "flag"

var update = flag.Bool("update", false, "write testdata/golden and docs/brokerctl.md anew")

//go:build !unix

package server

import "errors"

// canReadRaw: elsewhere than on Unix a read buffer is held while its connection is idle.
const canReadRaw = false

func readRaw(uintptr, []byte) (n int, again bool, err error) { return 0, false, errors.ErrUnsupported }

// setBuffers does nothing: the buffers of accepted sockets are set anyway.
func setBuffers(uintptr, int, int) error { return nil }

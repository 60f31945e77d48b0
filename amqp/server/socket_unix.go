//go:build unix

package server

import "syscall"

const canReadRaw = true

// readRaw reads what the socket has. again is true when it has nothing now.
func readRaw(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), b)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, true, nil
		}
		return max(n, 0), false, err
	}
}

// setBuffers sets SO_RCVBUF and SO_SNDBUF where a size is given.
func setBuffers(fd uintptr, receive, send int) error {
	if receive > 0 {
		if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive); err != nil {
			return err
		}
	}
	if send > 0 {
		return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, send)
	}
	return nil
}

package server

import (
	"net"
	"syscall"
)

// tune applies o to an accepted connection. A connection that is no TCP socket is left alone.
func (o *TCPOptions) tune(nc net.Conn) error {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	if err := tc.SetNoDelay(!o.Delay); err != nil {
		return err
	}
	if o.ReceiveBuffer > 0 {
		if err := tc.SetReadBuffer(o.ReceiveBuffer); err != nil {
			return err
		}
	}
	if o.SendBuffer > 0 {
		if err := tc.SetWriteBuffer(o.SendBuffer); err != nil {
			return err
		}
	}
	return tc.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable:   o.KeepAlive > 0,
		Idle:     o.KeepAlive,
		Interval: o.KeepAlive,
	})
}

// rawConn returns access to the socket below nc, nil when there is none or reading it directly would bypass a layer.
func rawConn(nc net.Conn) syscall.RawConn {
	tc, ok := nc.(*net.TCPConn)
	if !ok || !canReadRaw {
		return nil
	}
	rc, err := tc.SyscallConn()
	if err != nil {
		return nil
	}
	return rc
}

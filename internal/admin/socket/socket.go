// Package socket listens on and connects to the Unix socket through which the administrator of a node's machine reaches it. It is
// used by internal/admin and by clients that start from a data directory.
//
// Whoever may open the socket is the administrator, so it is only for the user who runs the node (mode 0600). Paths of any length
// work, though the system's addresses have room for some 100 bytes.
package socket

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Name is the file name of the socket in the data directory.
const Name = "admin.sock"

// Path returns the path of the socket of the node with the given data directory.
func Path(dataDir string) string { return filepath.Join(dataDir, Name) }

// Listen opens the socket in a data directory that this process has for itself; one that an earlier process left behind is replaced.
// Closing the listener removes it. The socket is made in a directory that nobody else may enter and moved when its mode is set, so
// that there is no moment in which others could open it.
func Listen(dataDir string) (net.Listener, error) {
	path := Path(dataDir)
	private, err := os.MkdirTemp(dataDir, ".admin-*") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	defer os.RemoveAll(private)
	var l *net.UnixListener
	err = within(private, func(dir string) error {
		var err error
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, Name), Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // it knows the socket by a name that is gone by then
	made := filepath.Join(private, Name)
	if err = os.Chmod(made, 0o600); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	return &listener{UnixListener: l, path: path}, nil
}

// listener removes the socket when it is closed.
type listener struct {
	*net.UnixListener
	path string
}

// Close implements net.Listener.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	if err == nil {
		_ = os.Remove(l.path)
	}
	return err
}

// Dial connects to the socket at path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var nc net.Conn
	err := within(filepath.Dir(path), func(dir string) error {
		var err error
		nc, err = new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, filepath.Base(path)))
		return err
	})
	return nc, err
}

package socket

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocket(t *testing.T) {
	for name, dir := range map[string]string{
		"short": t.TempDir(),
		"long":  filepath.Join(t.TempDir(), strings.Repeat("d", 120)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			// What a process left behind that was killed.
			if err := os.WriteFile(Path(dir), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			l, err := Listen(dir)
			if err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(Path(dir))
			if err != nil || fi.Mode() != os.ModeSocket|0o600 {
				t.Fatalf("socket: %v, %v", fi.Mode(), err)
			}
			go func() {
				nc, err := l.Accept()
				if err == nil {
					_, _ = nc.Write([]byte("x"))
					_ = nc.Close()
				}
			}()
			nc, err := Dial(context.Background(), Path(dir))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if n, err := nc.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Fatalf("left behind: %v", left)
			}
		})
	}
}

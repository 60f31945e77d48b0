//go:build unix

package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustOpen(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustClose(t *testing.T, d *Dir) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenKeepsNodeID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d := mustOpen(t, path)
	id := d.NodeID()
	if len(id) != 32 || d.Path() != path {
		t.Errorf("got node id %q, path %q", id, d.Path())
	}
	mustClose(t, d)
	write(t, filepath.Join(path, "something"), "of the store")
	again := mustOpen(t, path)
	defer mustClose(t, again)
	if again.NodeID() != id {
		t.Errorf("node id %q after reopening, want %q", again.NodeID(), id)
	}
	other := mustOpen(t, t.TempDir())
	defer mustClose(t, other)
	if other.NodeID() == id {
		t.Error("two directories have one node id")
	}
}

func TestMarkerIsJSON(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	defer mustClose(t, d)
	b, err := os.ReadFile(filepath.Join(d.Path(), "brokerd.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got["format"] != float64(1) || got["node_id"] != d.NodeID() {
		t.Errorf("got %s, want format 1 and node_id %s", b, d.NodeID())
	}
}

func TestInUse(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	want := fmt.Sprintf("data directory %s is in use by process %d", d.Path(), os.Getpid())
	if _, err := Open(d.Path()); !errors.Is(err, ErrInUse) || err.Error() != want {
		t.Errorf("second Open: got %v, want %s", err, want)
	}
	write(t, filepath.Join(d.Path(), lockName), "")
	want = fmt.Sprintf("data directory %s is in use by another process", d.Path())
	if _, err := Open(d.Path()); !errors.Is(err, ErrInUse) || err.Error() != want {
		t.Errorf("second Open without a process id: got %v, want %s", err, want)
	}
	mustClose(t, d)
	mustClose(t, mustOpen(t, d.Path()))
}

func TestAlmostEmptyIsNew(t *testing.T) {
	path := t.TempDir()
	write(t, filepath.Join(path, lockName), "4711\n")
	write(t, filepath.Join(path, markerTemp), "{")
	if err := os.Mkdir(filepath.Join(path, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, path))
}

func TestRefused(t *testing.T) {
	good := `{"format":1,"node_id":"00112233445566778899aabbccddeeff"}`
	tests := []struct {
		name  string
		files map[string]string
		below string // path to open, below the directory
		kind  error
		text  string // after "data directory PATH "
	}{
		{"foreign", map[string]string{"photo.jpg": ""}, "", ErrForeign, "is not brokerd's: it holds photo.jpg and no brokerd.json"},
		{"file", map[string]string{"x": ""}, "x", ErrNotDir, "is not a directory"},
		{"below a file", map[string]string{"x": ""}, "x/y", ErrNotDir, "is below something that is not a directory"},
		{"empty marker", map[string]string{markerName: ""}, "", ErrMarker, "is damaged: brokerd.json cannot be understood"},
		{"other JSON", map[string]string{markerName: "{}"}, "", ErrMarker, "is damaged: brokerd.json cannot be understood"},
		{"newer", map[string]string{markerName: strings.Replace(good, "1", "2", 1)}, "", ErrMarker,
			"was written by a newer brokerd (format 2, this one reads 1)"},
		{"no node id", map[string]string{markerName: strings.Replace(good, "ff", "", 1)}, "", ErrMarker,
			"is damaged: brokerd.json has no valid node_id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range test.files {
				write(t, filepath.Join(dir, name), content)
			}
			path := filepath.Join(dir, test.below)
			_, err := Open(path)
			if want := "data directory " + path + " " + test.text; !errors.Is(err, test.kind) || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) != len(test.files) {
				t.Errorf("Open left %v in a directory that it refused", entries)
			}
		})
	}
}

func TestConcurrentFirstOpen(t *testing.T) {
	path := t.TempDir()
	const n = 8
	results := make(chan *Dir, n)
	for range n {
		go func() {
			d, err := Open(path)
			if err != nil && !errors.Is(err, ErrInUse) {
				t.Error(err)
			}
			results <- d
		}()
	}
	var open []*Dir
	for range n {
		if d := <-results; d != nil {
			open = append(open, d)
		}
	}
	if len(open) != 1 {
		t.Fatalf("%d of %d opened the directory, want 1", len(open), n)
	}
	mustClose(t, open[0])
}

package definitions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// loadedParameter is the global parameter that says which content was loaded last. Its name keeps it out of exports.
const loadedParameter = internalPrefix + "_definitions_load"

// Loaded says what Load did.
type Loaded struct {
	// Skipped is set when the content is that which was loaded last; then nothing was parsed.
	Skipped     bool
	Definitions *Definitions // nil if skipped
	Report      *Report      // nil if skipped
}

// Load imports the definitions of a file, or of all *.json files in a directory together, unless the cluster has loaded the same
// content before. What is wrong with the content or the path is an [Errors], and nothing was changed.
func Load(ctx context.Context, b *cluster.Broker, path string) (*Loaded, error) {
	files, err := read(path)
	if err != nil {
		return nil, Errors{{Position: Position{File: path}, Text: err.Error()}}
	}
	digest := digestOf(files)
	if loadedBefore(b.State(), digest) {
		return &Loaded{Skipped: true}, nil
	}
	d, err := parseAll(files)
	if err != nil {
		return nil, err
	}
	if d.detached {
		return nil, Errors{{Position: Position{File: path}, Text: "definitions of one vhost; want those of a cluster, in which each names its vhost"}}
	}
	plan, err := Diff(b.State(), d)
	if err != nil {
		return nil, err
	}
	report, err := Apply(ctx, b, plan, ApplyOptions{})
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(map[string]string{"sha256": digest})
	if err != nil {
		return nil, err
	}
	if _, err := b.PutParameter(ctx, meta.Parameter{Name: loadedParameter, Value: value}); err != nil {
		return nil, fmt.Errorf("noting that definitions were loaded: %w", err)
	}
	return &Loaded{Definitions: d, Report: report}, nil
}

// file is a file that was read.
type file struct {
	name string
	data []byte
}

// read returns a file, or those in a directory, sorted by name.
func read(path string) ([]file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plainError(err)
	}
	names := []string{path}
	if info.IsDir() {
		if names, err = filepath.Glob(filepath.Join(escapeGlob(path), "*.json")); err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, errors.New("the directory has no file that ends in .json")
		}
		slices.Sort(names)
	}
	var files []file
	total := int64(0)
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, plainError(err)
		}
		if total += info.Size(); total > maxFile {
			return nil, fmt.Errorf("more than %d bytes", maxFile)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, plainError(err)
		}
		files = append(files, file{name, data})
	}
	return files, nil
}

// plainError drops the path of an error, which stands in front of it anyway.
func plainError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("cannot be read: %w", path.Err)
	}
	return err
}

// escapeGlob makes a pattern that matches only path.
func escapeGlob(path string) string {
	var b []rune
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			b = append(b, '\\')
		}
		b = append(b, r)
	}
	return string(b)
}

// digestOf stands for the content of files, not for their names.
func digestOf(files []file) string {
	h := sha256.New()
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func loadedBefore(s *meta.State, digest string) bool {
	p := s.Parameter("", "", loadedParameter)
	if p == nil {
		return false
	}
	var stored map[string]string
	return json.Unmarshal(p.Value, &stored) == nil && stored["sha256"] == digest
}

// parseAll parses files and puts their definitions together.
func parseAll(files []file) (*Definitions, error) {
	all := newDefinitions()
	var wrong problems
	for i, f := range files {
		d, err := Parse(f.data, f.name)
		var errs Errors
		switch {
		case errors.As(err, &errs):
			for _, p := range errs {
				wrong.add(p)
			}
		case err != nil:
			return nil, err
		case d.detached && len(files) > 1:
			wrong.add(&Problem{Position: Position{File: f.name}, Text: "definitions of one vhost; want those of a cluster, in which each names its vhost"})
		case i == 0:
			all = d
		default:
			all.merge(d)
		}
	}
	if len(wrong.list) == 0 {
		all.unique(&wrong)
	}
	return all, wrong.err()
}

// User returns the tags of a user that the definitions have; ok is false for others.
func (d *Definitions) User(name string) (tags []string, ok bool) {
	for _, i := range d.items[Users] {
		if u := i.(*user); u.Name == name {
			return slices.Clone(u.Tags), true
		}
	}
	return nil, false
}

// Administrators returns the names of the users with the tag administrator.
func (d *Definitions) Administrators() (names []string) {
	for _, i := range d.items[Users] {
		if u := i.(*user); slices.Contains(u.Tags, administrator) {
			names = append(names, u.Name)
		}
	}
	return names
}

package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
)

const (
	bookFormat   = 1
	bookNodes    = 1024    // nodes in the book
	bookBytes    = 4 << 20 // of the file
	bookPerNode  = 2       // addresses of a node: the one it announced last and the one before, or the one that it was found at
	bookFilePerm = 0o600
)

// entry is what the book holds of a node.
type entry struct {
	Name      string   `json:"name,omitempty"`
	Addresses []string `json:"addresses"` // the best first; between 1 and bookPerNode
}

// book knows where the nodes are. It outlives the process in a file, because a node that restarts must find the others, even if
// all but one have moved.
type book struct {
	self string // own id, never in the book
	file string // "" for none
	log  *slog.Logger

	mu      sync.Mutex
	entries map[string]entry
	met     map[string]Identity // by the last handshake since the start; subset of entries
}

// bookContent is the file.
type bookContent struct {
	Format int              `json:"format"`
	Nodes  map[string]entry `json:"nodes"`
}

// openBook reads the file. One that is damaged is kept under another name and not used: addresses can be learned again.
func openBook(self, file string, log *slog.Logger) (*book, error) {
	b := &book{self: self, file: file, log: log, entries: map[string]entry{}, met: map[string]Identity{}}
	if file == "" {
		return b, nil
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("book of addresses: %w", err)
	}
	if err := b.decode(content); err != nil {
		aside := file + ".damaged"
		if rerr := os.Rename(file, aside); rerr != nil {
			return nil, fmt.Errorf("book of addresses %s is damaged (%w) and cannot be put aside: %w", file, err, rerr)
		}
		log.Warn("book of addresses is damaged, begins anew; addresses come back as nodes call", "file", file, "kept_as", aside, "error", err)
	}
	return b, nil
}

func (b *book) decode(content []byte) error {
	if len(content) > bookBytes {
		return fmt.Errorf("%d bytes, more than %d", len(content), bookBytes)
	}
	var c bookContent
	d := json.NewDecoder(bytes.NewReader(content))
	if err := d.Decode(&c); err != nil {
		return err
	}
	if c.Format != bookFormat {
		return fmt.Errorf("format %d, not %d", c.Format, bookFormat)
	}
	if len(c.Nodes) > bookNodes {
		return fmt.Errorf("%d nodes, more than %d", len(c.Nodes), bookNodes)
	}
	for node, e := range c.Nodes {
		if len(e.Addresses) == 0 || len(e.Addresses) > bookPerNode {
			return fmt.Errorf("node %q has %d addresses", node, len(e.Addresses))
		}
		for _, a := range e.Addresses {
			if err := (Identity{Node: node, Name: e.Name, Address: a}).check(); err != nil {
				return err
			}
			if err := checkAddress(a); err != nil {
				return err
			}
		}
	}
	for node, e := range c.Nodes {
		if node != b.self {
			b.entries[node] = e
		}
	}
	return nil
}

// meet notes what a node said in a handshake, and the address at which it was found ("" if it called). It tells whether the
// node's addresses have changed.
func (b *book) meet(id Identity, found string) (moved bool) {
	if id.Node == b.self {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old, known := b.entries[id.Node]
	if !known && !b.room(id.Node) {
		return false
	}
	moved = b.put(id.Node, old, entry{id.Name, candidates(append([]string{id.Address, found}, old.Addresses...))})
	if _, known := b.entries[id.Node]; known {
		b.met[id.Node] = id
	}
	return moved
}

// learn notes what somebody else says of a node. An address that the book has already keeps its place: what the node itself
// announced later counts more.
func (b *book) learn(id Identity) (moved bool) {
	if id.Node == b.self {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old, known := b.entries[id.Node]
	if !known && !b.room(id.Node) {
		return false
	}
	name, addresses := old.Name, old.Addresses
	if id.Name != "" {
		name = id.Name
	}
	if !slices.Contains(addresses, id.Address) {
		addresses = candidates(append([]string{id.Address}, addresses...))
	}
	return b.put(id.Node, old, entry{name, addresses})
}

// candidates keeps the first addresses that can be called, each once.
func candidates(all []string) []string {
	var kept []string
	for _, a := range all {
		if checkAddress(a) == nil && !slices.Contains(kept, a) && len(kept) < bookPerNode {
			kept = append(kept, a)
		}
	}
	return kept
}

// room tells whether one more node fits.
func (b *book) room(node string) bool {
	if len(b.entries) < bookNodes {
		return true
	}
	b.log.Warn("book of addresses is full, a node is left out", "node", node, "limit", bookNodes)
	return false
}

// put stores a changed entry. The caller holds the lock; it is held while the file is written, so that states reach it in order.
func (b *book) put(node string, old, e entry) (moved bool) {
	if len(e.Addresses) == 0 {
		return false
	}
	moved = !slices.Equal(old.Addresses, e.Addresses)
	if moved || old.Name != e.Name {
		b.entries[node] = e
		b.save()
	}
	return moved
}

// forget drops a node.
func (b *book) forget(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.met, node)
	if _, ok := b.entries[node]; ok {
		delete(b.entries, node)
		b.save()
	}
}

// addresses returns where a node may be, the best first. The caller only reads it.
func (b *book) addresses(node string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[node].Addresses
}

// identity returns what is known of a node.
func (b *book) identity(node string) (Identity, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.describe(node)
}

func (b *book) describe(node string) (Identity, bool) {
	e, ok := b.entries[node]
	if !ok {
		return Identity{}, false
	}
	id := b.met[node]
	id.Node, id.Name, id.Address = node, e.Name, e.Addresses[0]
	return id, true
}

// known returns what is known of all nodes, by id.
func (b *book) known() []Identity {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Identity, 0, len(b.entries))
	for node := range b.entries {
		id, _ := b.describe(node)
		all = append(all, id)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Node < all[j].Node })
	return all
}

// save replaces the file. A failure costs nothing but the knowledge after a restart, so it is logged and work goes on.
func (b *book) save() {
	if b.file == "" {
		return
	}
	content, err := json.MarshalIndent(bookContent{bookFormat, b.entries}, "", "  ")
	if err == nil {
		err = replaceFile(b.file, append(content, '\n'))
	}
	if err != nil {
		b.log.Warn("book of addresses cannot be written", "file", b.file, "error", err)
	}
}

// replaceFile writes a file so that after a crash the old or the new content is there.
func replaceFile(name string, content []byte) error {
	temp := name + ".tmp"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, bookFilePerm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

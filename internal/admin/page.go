package admin

import (
	"encoding/base64"
	"iter"
	"regexp"
	"slices"
	"strings"
)

// Bounds of lists.
const (
	defaultPage = 100
	maxPage     = 10_000
	maxRegex    = 4096 // bytes
)

// page is which part of a list is wanted: size items behind the key after. Keys order the list and do not change, so that pages fit
// together whatever is made and deleted in between.
type page struct {
	size  int
	after string
}

// newPage reads page_size and page_token.
func newPage(size uint32, token string) (p page, err error) {
	if size > maxPage {
		return p, violation("page_size", "got %d, want at most %d", size, maxPage)
	}
	p.size = int(size)
	if size == 0 {
		p.size = defaultPage
	}
	if token != "" {
		key, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(key) == 0 || key[0] != tokenVersion {
			return p, violation("page_token", "got %q, want next_page_token of the page before", token)
		}
		p.after = string(key[1:])
	}
	return p, nil
}

// tokenVersion begins page tokens.
const tokenVersion = 'k'

func pageToken(key string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{tokenVersion}, key...))
}

// keyOf joins the parts of a key. It sorts as the parts do.
func keyOf(parts ...string) string { return strings.Join(parts, "\x00") }

// take returns the items of a page and the token of the next one; all is in the order of the keys. total counts all.
func take[T any](p page, all iter.Seq2[string, T]) (list []T, next string, total uint64) {
	last, more := "", false
	for key, item := range all {
		total++
		switch {
		case p.after != "" && key <= p.after:
		case len(list) < p.size:
			list = append(list, item)
			last = key
		default:
			more = true
		}
	}
	if more {
		next = pageToken(last)
	}
	return list, next, total
}

// sorted puts items in the order of their keys.
func sorted[T any](items []T, key func(T) string) iter.Seq2[string, T] {
	type keyed struct {
		key  string
		item T
	}
	list := make([]keyed, len(items))
	for i, item := range items {
		list[i] = keyed{key(item), item}
	}
	slices.SortStableFunc(list, func(a, b keyed) int { return strings.Compare(a.key, b.key) })
	return func(yield func(string, T) bool) {
		for _, k := range list {
			if !yield(k.key, k.item) {
				return
			}
		}
	}
}

// merge makes one page of the same page of several nodes, each with the number of its items on all pages. more says that a node has
// more behind its page.
func merge[T any](p page, key func(T) string, parts [][]T, more bool) (list []T, next string) {
	var all []T
	for _, part := range parts {
		all = append(all, part...)
	}
	list, next, _ = take(page{size: p.size}, sorted(all, key))
	if next == "" && more && len(list) > 0 {
		next = pageToken(key(list[len(list)-1]))
	}
	return list, next
}

// filter is name_prefix and name_regex.
type filter struct {
	prefix string
	expr   *regexp.Regexp // nil: all
}

func newFilter(prefix, expr string) (f filter, err error) {
	f.prefix = prefix
	f.expr, err = newRegex("name_regex", expr)
	return f, err
}

// newRegex compiles an expression of a request, nil for none.
func newRegex(field, expr string) (*regexp.Regexp, error) {
	if expr == "" {
		return nil, nil
	}
	if len(expr) > maxRegex {
		return nil, violation(field, "got %d bytes, want at most %d", len(expr), maxRegex)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, violation(field, "want a regular expression of RE2; %v", err)
	}
	return re, nil
}

// match says whether a name passes.
func (f *filter) match(name string) bool {
	return strings.HasPrefix(name, f.prefix) && (f.expr == nil || f.expr.MatchString(name))
}

package policy

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// pattern is a compiled regular expression. Most are anchored at a literal prefix, and with many policies nearly all of them
// fail there, so that is asked for first: without it 1,000 policies take four times as long (BenchmarkForQueue).
type pattern struct {
	prefix string // that a matching name must have
	whole  bool   // the prefix is all that matters, so re need not be asked
	re     *regexp.Regexp
}

func compilePattern(s string) (pattern, error) {
	re, err := regexp.Compile(s)
	if err != nil {
		return pattern{}, err
	}
	p := pattern{re: re}
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return pattern{}, err
	}
	parts := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		parts = tree.Sub
	}
	if parts[0].Op == syntax.OpBeginText {
		parts = parts[1:]
		if len(parts) > 0 && parts[0].Op == syntax.OpLiteral && parts[0].Flags&syntax.FoldCase == 0 {
			// A replacement character in a pattern also matches bytes that are no UTF-8.
			if lit := string(parts[0].Rune); !strings.ContainsRune(lit, utf8.RuneError) {
				p.prefix, parts = lit, parts[1:]
			}
		}
	}
	// What matches the empty string needs no looking for where nothing follows it.
	p.whole = len(parts) == 0 || len(parts) == 1 && (parts[0].Op == syntax.OpStar || parts[0].Op == syntax.OpEmptyMatch)
	return p, nil
}

func (p *pattern) match(name string) bool {
	return strings.HasPrefix(name, p.prefix) && (p.whole || p.re.MatchString(name))
}

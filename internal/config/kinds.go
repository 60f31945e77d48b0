package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// kind is the type of a key together with the field that its values go to.
type kind struct {
	typ     string
	allowed string
	// parse checks a value and stores it. Its error says what is wrong; the caller adds key, value and what is allowed.
	parse func(c *Config, v value) error
	// format returns the stored value, as parse would accept it.
	format func(c *Config) value
}

// value is a value as it was written, before it has a type.
type value struct {
	items  []string // one item unless list
	list   bool
	quoted bool // certainly meant as text: not a number, boolean or date of the YAML file
}

func scalar(s string) value { return value{items: []string{s}, quoted: true} }

func (v value) String() string { return strings.Join(v.items, ",") }

// one returns the only item of v.
func (v value) one() (string, error) {
	if v.list && len(v.items) != 1 {
		return "", errors.New("a list is not accepted here")
	}
	return v.items[0], nil
}

// split returns the items of a list, which may also be written with commas.
func (v value) split() []string {
	var items []string
	for _, item := range v.items {
		if !v.list {
			for part := range strings.SplitSeq(item, ",") {
				items = append(items, strings.TrimSpace(part))
			}
			continue
		}
		items = append(items, item)
	}
	if !v.list && len(items) == 1 && items[0] == "" {
		return nil
	}
	return items
}

var errNotText = errors.New("not text in YAML, put it in quotes")

func text(field func(*Config) *string, shortest, longest int) kind {
	allowed := fmt.Sprintf("text of %d to %d bytes", shortest, longest)
	return kind{
		typ:     "text",
		allowed: allowed,
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			switch {
			case !v.quoted:
				return errNotText
			case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
				return errors.New("control characters")
			case len(s) < shortest || len(s) > longest:
				return errors.New("wrong length")
			}
			*field(c) = s
			return nil
		},
		format: func(c *Config) value { return scalar(*field(c)) },
	}
}

func name(field func(*Config) *string) kind {
	k := text(field, 1, 255)
	inner := k.parse
	k.allowed = "1 to 255 letters, digits and . _ @ -"
	k.parse = func(c *Config, v value) error {
		if err := inner(c, v); err != nil {
			return err
		}
		if !validName(*field(c)) {
			return errors.New("not a name")
		}
		return nil
	}
	return k
}

func validName(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._@-", r))
	})
}

func names(field func(*Config) *[]string) kind {
	return kind{
		typ:     "list",
		allowed: "a list of user names, or an empty list",
		parse: func(c *Config, v value) error {
			if !v.quoted {
				return errNotText
			}
			items := v.split()
			for _, item := range items {
				if item == "" || len(item) > 255 {
					return fmt.Errorf("%q is not a name", item)
				}
			}
			*field(c) = items
			return nil
		},
		format: func(c *Config) value { return value{items: *field(c), list: true, quoted: true} },
	}
}

func addresses(field func(*Config) *[]string) kind {
	return kind{
		typ:     "list",
		allowed: "one or more host:port, such as 127.0.0.1:5672, [::1]:5672 or :5672",
		parse: func(c *Config, v value) error {
			items := v.split()
			if len(items) == 0 {
				return errors.New("empty")
			}
			for i, item := range items {
				if err := checkAddress(item); err != nil {
					return err
				}
				if slices.Contains(items[:i], item) {
					return fmt.Errorf("%q is there twice", item)
				}
			}
			*field(c) = items
			return nil
		},
		format: func(c *Config) value { return value{items: *field(c), list: true, quoted: true} },
	}
}

// peers is a list of addresses that may be empty.
func peers(field func(*Config) *[]string) kind {
	k := addresses(field)
	k.allowed = "a list of host:port, or an empty list"
	inner := k.parse
	k.parse = func(c *Config, v value) error {
		if len(v.split()) == 0 {
			*field(c) = nil
			return nil
		}
		return inner(c, v)
	}
	return k
}

// address is one address, or empty for off.
func address(field func(*Config) *string, off string) kind {
	return kind{
		typ:     "text",
		allowed: "host:port, or empty for " + off,
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			if s != "" {
				if err := checkAddress(s); err != nil {
					return err
				}
			}
			*field(c) = s
			return nil
		},
		format: func(c *Config) value { return scalar(*field(c)) },
	}
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	var wrong *net.AddrError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%q is not host:port (%s)", address, wrong.Err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return fmt.Errorf("%q has no valid port", address)
	}
	if strings.ContainsFunc(host, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' }) {
		return fmt.Errorf("%q has no valid host", address)
	}
	return nil
}

// networks is a list of address ranges. An address alone is the range of just that.
func networks(field func(*Config) *[]netip.Prefix) kind {
	return kind{
		typ:     "list",
		allowed: "an empty list, or networks such as 10.0.0.0/8, 192.0.2.7 or fd00::/8",
		parse: func(c *Config, v value) error {
			var list []netip.Prefix
			for _, item := range v.split() {
				p, err := netip.ParsePrefix(item)
				if a, aerr := netip.ParseAddr(item); aerr == nil {
					p, err = netip.PrefixFrom(a, a.BitLen()), nil
				}
				if err != nil || p.Addr().Zone() != "" || p.Addr().Is4In6() {
					return fmt.Errorf("%q is not a network", item)
				}
				list = append(list, p.Masked())
			}
			*field(c) = list
			return nil
		},
		format: func(c *Config) value {
			v := value{list: true, quoted: true}
			for _, p := range *field(c) {
				v.items = append(v.items, p.String())
			}
			return v
		},
	}
}

type integer interface {
	~int | ~int64 | ~uint16 | ~uint32
}

func number[T integer](field func(*Config) *T, least, most int64) kind {
	return kind{
		typ:     "number",
		allowed: fmt.Sprintf("%d to %d", least, most),
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			n, err := strconv.ParseInt(s, 10, 64)
			if errors.Is(err, strconv.ErrSyntax) {
				return errors.New("not a whole number")
			}
			if err != nil || n < least || n > most {
				return errOutOfRange
			}
			*field(c) = T(n)
			return nil
		},
		format: func(c *Config) value {
			return value{items: []string{strconv.FormatInt(int64(*field(c)), 10)}}
		},
	}
}

var errOutOfRange = errors.New("out of range")

// size is a number of bytes. If zero is not empty, 0 is allowed too and means that.
func size[T integer](field func(*Config) *T, least, most int64, zero string) kind {
	allowed := fmt.Sprintf("%s to %s", formatSize(least), formatSize(most))
	if zero != "" {
		allowed += ", or 0 for " + zero
	}
	return kind{
		typ:     "size",
		allowed: allowed,
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			n, err := parseSize(s)
			if err != nil {
				return err
			}
			if (n < least || n > most) && (n != 0 || zero == "") {
				return errOutOfRange
			}
			*field(c) = T(n)
			return nil
		},
		format: func(c *Config) value { return scalar(formatSize(int64(*field(c)))) },
	}
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"TiB", tib}, {"GiB", gib}, {"MiB", mib}, {"KiB", kib}}

var errSize = errors.New("not a size (write bytes, or a whole number with KiB, MiB, GiB or TiB)")

func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits {
		if n := len(s) - len(u.suffix); n > 0 && strings.EqualFold(s[n:], u.suffix) {
			digits, unit = strings.TrimSpace(s[:n]), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errOutOfRange
	case err != nil:
		return 0, errSize
	case n < 0 || n > math.MaxInt64/unit:
		return 0, errOutOfRange
	}
	return n * unit, nil
}

func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// duration is a time with a unit, a multiple of step unless step is 0. If zero is not empty, 0 is allowed too and means that.
func duration(field func(*Config) *time.Duration, step, least, most time.Duration, zero string) kind {
	allowed := fmt.Sprintf("%s to %s", formatDuration(least), formatDuration(most))
	if step != 0 {
		allowed += " in steps of " + formatDuration(step)
	}
	if zero != "" {
		allowed += ", or 0 for " + zero
	}
	return kind{
		typ:     "duration",
		allowed: allowed,
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			d, err := time.ParseDuration(s)
			if err != nil {
				if _, err := strconv.ParseFloat(s, 64); err == nil {
					return fmt.Errorf("no unit (write %ss for seconds)", s)
				}
				return errors.New("not a duration (write 500ms, 10s, 1m30s)")
			}
			if (d < least || d > most || step != 0 && d%step != 0) && (d != 0 || zero == "") {
				return errOutOfRange
			}
			*field(c) = d
			return nil
		},
		format: func(c *Config) value { return scalar(formatDuration(*field(c))) },
	}
}

// formatDuration is Duration.String without trailing zero units: 1m instead of 1m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func boolean(field func(*Config) *bool) kind {
	return kind{
		typ:     "flag",
		allowed: "true or false",
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			switch s {
			case "true":
				*field(c) = true
			case "false":
				*field(c) = false
			default:
				return errors.New("not true or false")
			}
			return nil
		},
		format: func(c *Config) value { return value{items: []string{strconv.FormatBool(*field(c))}} },
	}
}

func choice[T ~string](field func(*Config) *T, choices ...T) kind {
	list := make([]string, len(choices))
	for i, c := range choices {
		list[i] = string(c)
	}
	return kind{
		typ:     "choice",
		allowed: strings.Join(list, ", "),
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			if !slices.Contains(list, s) {
				return unknownChoice(s, list)
			}
			*field(c) = T(s)
			return nil
		},
		format: func(c *Config) value { return scalar(string(*field(c))) },
	}
}

func unknownChoice(s string, choices []string) error {
	if near := Nearest(s, choices); near != "" {
		return fmt.Errorf("unknown, did you mean %s?", near)
	}
	return errors.New("unknown")
}

func level() kind {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	list := make([]string, len(levels))
	for i, l := range levels {
		list[i] = strings.ToLower(l.String())
	}
	return kind{
		typ:     "choice",
		allowed: strings.Join(list, ", "),
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			i := slices.Index(list, s)
			if i < 0 {
				return unknownChoice(s, list)
			}
			c.Log.Level = levels[i]
			return nil
		},
		format: func(c *Config) value { return scalar(strings.ToLower(c.Log.Level.String())) },
	}
}

package definitions

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// maxFile bounds a file in bytes: some million queues or bindings.
const maxFile = 512 << 20

// Parse reads definitions: a file that RabbitMQ 3.8 to 4.x or [Definitions.AppendJSON] wrote, or one by hand. file is the name for
// messages. Everything that can be checked without a broker is checked; the error is an [Errors] with every problem found, up to a
// bound. data must not be changed as long as the definitions or plans made of them are in use.
//
// What RabbitMQ ignores is ignored and a warning: fields that it does not know, and queues and exchanges with names of the broker.
func Parse(data []byte, file string) (*Definitions, error) {
	p := &parser{d: newDefinitions(), src: &source{name: file, data: data}}
	if len(data) > maxFile {
		return nil, Errors{{Position: Position{File: file}, Text: fmt.Sprintf("%d bytes, want at most %d", len(data), maxFile)}}
	}
	p.s = &scanner{src: p.src, data: data}
	if bytes.HasPrefix(data, byteOrderMark) {
		p.s.pos = len(byteOrderMark)
	}
	if err := p.file(); err != nil {
		var problem *Problem
		if errors.As(err, &problem) {
			p.wrong.add(problem)
		}
		return nil, p.wrong.err()
	}
	p.checkFormat()
	if len(p.wrong.list) == 0 {
		p.d.unique(&p.wrong)
	}
	p.d.Warnings = p.warnings.all()
	if err := p.wrong.err(); err != nil {
		return nil, err
	}
	return p.d, nil
}

// parser makes definitions of one file.
type parser struct {
	d        *Definitions
	src      *source
	s        *scanner
	wrong    problems
	warnings problems

	format string // rabbitmq_definition_format
	// without are items that name no vhost; with says that others do.
	without []item
	with    bool
}

// ignored are top-level fields that say where a file comes from.
var ignored = []string{"rabbit_version", "rabbitmq_version", "product_name", "product_version", "original_cluster_name", "explanation",
	"original_vhost_name", "metadata", "description", "tags", "default_queue_type", "limits", "vhost", "lavinmq_version"}

// file reads the whole file. The error is a *Problem in the JSON itself, after which nothing can be read.
func (p *parser) file() error {
	if p.s.peek() != '{' {
		return p.s.wrong(p.s.pos, "found %s, want an object with definitions, which starts with {", p.s.found())
	}
	err := p.s.object(func(name string, at int) error {
		if read := sections[Kind(name)]; read != nil {
			return p.section(Kind(name), read)
		}
		v, err := p.s.value()
		if err != nil {
			return err
		}
		switch {
		case name == "rabbitmq_definition_format":
			if v.kind != text || v.text != formatCluster && v.text != formatVHost {
				p.reject(&v, name, "want "+quote(formatCluster)+" or "+quote(formatVHost))
			}
			p.format = v.text
		case !slices.Contains(ignored, name):
			p.warn(at, name, "no field of definitions, ignored"+p.nearest(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.s.space(); p.s.pos < len(p.s.data) {
		return p.s.wrong(p.s.pos, "found %s after the end of the definitions", p.s.found())
	}
	return nil
}

// nearest suggests a section whose name was perhaps meant.
func (p *parser) nearest(name string) string {
	for _, k := range kinds {
		if strings.EqualFold(strings.Trim(string(k), "s"), strings.Trim(strings.ReplaceAll(name, "-", "_"), "s")) {
			return ", did you mean " + string(k) + "?"
		}
	}
	return ""
}

// section reads a list of items, one at a time.
func (p *parser) section(k Kind, read func(*parser, *fields)) error {
	p.d.sections[k] = true
	if p.s.peek() != '[' {
		v, err := p.s.value()
		if err == nil {
			p.reject(&v, string(k), "want a list")
		}
		return err
	}
	index := 0
	return p.s.list(func() error {
		v, err := p.s.value()
		if err != nil {
			return err
		}
		f := &fields{p: p, v: &v, section: k, index: index}
		index++
		if v.kind != object {
			p.reject(&v, f.path(), "want an object")
			return nil
		}
		read(p, f)
		f.unknown()
		return nil
	})
}

// reject notes that a value is wrong.
func (p *parser) reject(v *value, field, want string) {
	p.wrong.add(&Problem{Position: place{p.src, v.at}.position(), Field: field, Value: p.shown(v), Text: "found " + v.kind.String() + ", " + want})
}

// shown returns a value as it stands in the file, shortened; of lists and objects nothing, for they say little.
func (p *parser) shown(v *value) string {
	switch v.kind {
	case text:
		return quote(v.text)
	case number, boolean:
		if len(v.text) > 80 {
			return v.text[:80] + "..."
		}
		return v.text
	}
	return ""
}

func (p *parser) warn(at int, field, what string) {
	p.warnings.add(&Problem{Position: place{p.src, at}.position(), Field: field, Text: what})
}

// checked adds an item unless a check refused it.
func (p *parser) checked(f *fields, i item, err error) {
	if err == nil {
		p.d.add(i)
		return
	}
	p.wrong.add(refusal(place{p.src, culprit(f.v, err).at}, i.path(), err))
}

// culprit returns the value in an item that a check complains about, the item if it cannot be told.
func culprit(v *value, err error) *value {
	var argument *cluster.ArgumentError
	if errors.As(err, &argument) {
		if m := v.find(func(name string) bool { return name == argument.Field }); m != nil {
			return m
		}
		return v
	}
	// AMQP's texts have the names of arguments in quotes.
	if args := v.get("arguments"); args != nil {
		if m := args.find(func(name string) bool { return strings.Contains(err.Error(), " arg '"+name+"'") }); m != nil {
			return m
		}
	}
	return v
}

// homeless notes whether an item names its vhost, which those of a whole cluster must.
func (p *parser) homeless(i item, given bool) {
	if given {
		p.with = true
	} else {
		p.without = append(p.without, i)
	}
}

// checkFormat finds out whether the file is of one vhost: if it says so, or if nothing in it names a vhost.
func (p *parser) checkFormat() {
	d := p.d
	whole := p.format == formatCluster || p.with
	for _, k := range []Kind{VHosts, Users, Permissions, TopicPermissions, GlobalParameters} {
		whole = whole || len(d.items[k]) > 0
	}
	if p.format == formatVHost {
		d.detached = true
		for _, k := range []Kind{VHosts, Users, Permissions, TopicPermissions, GlobalParameters} {
			for _, i := range d.items[k] {
				p.wrong.add(&Problem{Position: i.where().position(), Field: i.path(), Text: "definitions of one vhost (" + formatVHost + ") cannot have " + string(k)})
			}
		}
		return
	}
	if len(p.without) == 0 {
		return
	}
	if !whole {
		d.detached = true
		return
	}
	for _, i := range p.without {
		p.wrong.add(&Problem{Position: i.where().position(), Field: i.path() + ".vhost",
			Text: "missing; want the name of a vhost, because other definitions in the file are of a whole cluster"})
	}
}

// fields reads the members of one item. What is wrong goes to the parser, and the zero value is returned.
type fields struct {
	p       *parser
	v       *value
	section Kind
	index   int
	prefix  string // of the member that v is, such as .value; empty for the item itself
	known   []string
	bad     bool
}

func (f *fields) path() string { return pathOf(f.section, f.index) + f.prefix }

func (f *fields) origin() origin { return origin{place{f.p.src, f.v.at}, f.index} }

// take returns a member and notes that it is known.
func (f *fields) take(name string) *value {
	f.known = append(f.known, name)
	return f.v.get(name)
}

func (f *fields) reject(v *value, name, want string) {
	f.bad = true
	f.p.reject(v, f.path()+"."+name, want)
}

// refuse is reject for a value of the right kind.
func (f *fields) refuse(at *value, name, text string) {
	f.bad = true
	f.p.wrong.add(&Problem{Position: place{f.p.src, at.at}.position(), Field: f.path() + "." + name, Value: f.p.shown(at), Text: text})
}

func (f *fields) missing(name, want string) {
	f.bad = true
	f.p.wrong.add(&Problem{Position: place{f.p.src, f.v.at}.position(), Field: f.path() + "." + name, Text: "missing; want " + want})
}

// text returns a string that must be there.
func (f *fields) text(name string) string {
	v := f.take(name)
	if v == nil {
		f.missing(name, "a string")
		return ""
	}
	return f.string(v, name)
}

// optional returns a string that may be missing or null.
func (f *fields) optional(name string) (s string, given bool) {
	v := f.take(name)
	if v == nil || v.kind == null {
		return "", false
	}
	return f.string(v, name), true
}

func (f *fields) string(v *value, name string) string {
	if v.kind != text {
		f.reject(v, name, "want a string")
		return ""
	}
	return v.text
}

// flag returns a boolean that must be there.
func (f *fields) flag(name string) bool {
	v := f.take(name)
	if v == nil {
		f.missing(name, "true or false")
		return false
	}
	return f.bool(v, name)
}

func (f *fields) bool(v *value, name string) bool {
	if v.kind != boolean {
		f.reject(v, name, "want true or false")
		return false
	}
	return v.text == "true"
}

// optionalFlag returns a boolean that may be missing or null, which is false.
func (f *fields) optionalFlag(name string) bool {
	v := f.take(name)
	return v != nil && v.kind != null && f.bool(v, name)
}

// tags returns a list of strings, which older versions wrote as one string with commas.
func (f *fields) tags(v *value, name string) (tags []string) {
	switch {
	case v == nil || v.kind == null:
	case v.kind == text:
		for t := range strings.SplitSeq(v.text, ",") {
			if t = strings.TrimSpace(t); t != "" {
				tags = append(tags, t)
			}
		}
	case v.kind == array:
		for i := range v.items {
			tags = append(tags, f.string(&v.items[i], fmt.Sprintf("%s[%d]", name, i)))
		}
	default:
		f.reject(v, name, "want a list of strings")
	}
	return tags
}

// arguments returns an encoded field table; missing, null and [] are an empty one.
func (f *fields) arguments() []byte {
	v := f.take("arguments")
	if v == nil || v.kind == null || v.kind == array && len(v.items) == 0 {
		return nil
	}
	if v.kind != object {
		f.reject(v, "arguments", "want an object")
		return nil
	}
	t, wrong := tableOf(v, "arguments")
	if wrong != nil {
		f.refuse(wrong.value, wrong.path, wrong.want)
		return nil
	}
	content := t.Encode()
	if len(content) > maxArguments {
		f.refuse(v, "arguments", fmt.Sprintf("%d bytes when encoded, want at most %d", len(content), maxArguments))
		return nil
	}
	return content
}

// raw returns a value that is stored as JSON.
func (f *fields) raw(v *value, name string) []byte {
	if v == nil {
		f.missing(name, "a value")
		return nil
	}
	content := appendValue(nil, v, false)
	if len(content) > maxRaw {
		f.refuse(v, name, fmt.Sprintf("%d bytes, want at most %d", len(content), maxRaw))
		return nil
	}
	return content
}

// vhost returns the name of the item's vhost; given is false if it has none.
func (f *fields) vhost() (name string, given bool) {
	name, given = f.optional("vhost")
	if given && name == "" && !f.bad {
		f.refuse(f.v.get("vhost"), "vhost", "want the name of a vhost")
	}
	return name, given
}

// unknown warns of members that nothing has asked for. They would be lost.
func (f *fields) unknown() {
	for i := range f.v.members {
		if m := &f.v.members[i]; !slices.Contains(f.known, m.name) {
			f.p.warn(m.at, f.path()+"."+m.name, "no field of "+string(f.section)+" here, ignored")
		}
	}
}

// md5Refused is what becomes of users from before RabbitMQ 3.6.
const md5Algorithm = "rabbit_password_hashing_md5"

const md5Refused = "MD5 hashes are refused because they are broken; give the user a new password in RabbitMQ (rabbitmqctl change_password), " +
	"which stores it as " + meta.HashSHA256 + ", and export again, or put the password itself into the field password here"

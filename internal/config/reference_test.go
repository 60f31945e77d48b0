package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md and deploy/brokerd.yaml")

// TestReference keeps the written reference and the example file the same as the table of keys. After a change of the table:
//
//	go test ./internal/config/ -run TestReference -update
func TestReference(t *testing.T) {
	for name, generate := range map[string]func() []byte{
		"docs/configuration.md": reference,
		"deploy/brokerd.yaml":   example,
	} {
		path := filepath.Join("..", "..", filepath.FromSlash(name))
		want := generate()
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the table of keys says; run: go test ./internal/config/ -run TestReference -update", name)
		}
	}
}

// TestExampleIsTheDefault loads the example file with every key uncommented.
func TestExampleIsTheDefault(t *testing.T) {
	var file strings.Builder
	for line := range strings.Lines(string(example())) {
		if key, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(key, " #") && !strings.HasPrefix(key, "# ") {
			line = key
		}
		file.WriteString(line)
	}
	text := strings.ReplaceAll(file.String(), "the host name", hostName())
	c, err := load(t, text, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if got := Diff(Default(), c); len(got) != 0 {
		t.Errorf("differences from the defaults: %+v", got)
	}
	for i := range keys {
		if got := c.Source(keys[i].Name).Origin; got != FromFile {
			t.Errorf("%s is not in the example", keys[i].Name)
		}
	}
}

func TestTableIsConsistent(t *testing.T) {
	names, variables, flags := map[string]bool{}, map[string]bool{}, map[string]bool{}
	sections, last := map[string]bool{}, ""
	for i := range keys {
		k := &keys[i]
		if names[k.Name] || variables[k.Env()] || k.Flag != "" && flags[k.Flag] {
			t.Errorf("%s is ambiguous", k.Name)
		}
		names[k.Name], variables[k.Env()], flags[k.Flag] = true, true, true
		if !strings.HasSuffix(k.Help, ".") {
			t.Errorf("help of %s is no sentence: %q", k.Name, k.Help)
		}
		top := sectionOf(k.Name)
		if top != last && top != "" && sections[top] {
			t.Errorf("section %s is not in one piece", top)
		}
		sections[top], last = true, top
		c := Default()
		if err := k.parse(c, k.format(c)); err != nil {
			t.Errorf("default of %s is refused: %v", k.Name, err)
		}
	}
}

func sectionOf(key string) string {
	section, _, ok := strings.Cut(key, ".")
	if !ok {
		return ""
	}
	return section
}

func reference() []byte {
	var b bytes.Buffer
	b.WriteString(`# Configuration

A value comes from a command line flag, an environment variable, the configuration file (YAML, named by ` + "`--config`" + ` or
` + "`BROKERD_CONFIG`" + `) or the default, in this order of precedence. ` + "`brokerd config print`" + ` shows every value with where it comes
from, ` + "`brokerd config check`" + ` checks them without starting anything. A key, variable or value that is not understood keeps
brokerd from starting. [deploy/brokerd.yaml](../deploy/brokerd.yaml) is an example file with all defaults.

- Keys with dots are sections in the file: ` + "`log.level`" + ` is ` + "`level`" + ` below ` + "`log`" + `. The variable of a key is its name in capitals with
  ` + "`BROKERD_`" + ` in front and ` + "`_`" + ` for dots: ` + "`BROKERD_LOG_LEVEL`" + `.
- A *size* is a number of bytes, or a whole number with KiB, MiB, GiB or TiB. A *duration* is written as 500ms, 10s or 1m30s. A
  *list* is a YAML list, or one text with commas; its flag can also be repeated.
- ` + "`SIGHUP`" + ` makes brokerd read the configuration again. The keys marked *live* are applied; for the others it logs that a restart
  is needed. The default user and virtual host matter only at the first start with an empty data directory.

This page is generated from the table of keys in ` + "`internal/config/keys.go`" + `.

`)
	b.WriteString("| key | default | allowed | meaning |\n| --- | --- | --- | --- |\n")
	for i := range keys {
		k := &keys[i]
		deflt := "`" + k.Default + "`"
		switch {
		case k.computed != nil:
			deflt = k.Default
		case k.Default == "":
			deflt = "none"
		}
		meaning := k.Help
		if k.Flag != "" {
			meaning += " Flag `--" + k.Flag + "`."
		}
		if k.Live {
			meaning += " *Live.*"
		}
		fmt.Fprintf(&b, "| `%s` | %s | *%s:* %s | %s |\n", k.Name, deflt, k.Type(), k.Allowed(), meaning)
	}
	return b.Bytes()
}

func example() []byte {
	var b bytes.Buffer
	b.WriteString("## Example configuration of brokerd: every key with its default. To change one, remove the # before it.\n" +
		"## docs/configuration.md says which values are allowed.\n")
	var sections layout
	last := ""
	for i := range keys {
		k := &keys[i]
		if top := sectionOf(k.Name); top != last {
			b.WriteString("\n")
			last = top
		}
		var heads bytes.Buffer
		indent, leaf := sections.enter(&heads, k.Name)
		b.Write(heads.Bytes()) // a section with nothing in it is fine, so only the keys are commented out
		v := value{items: []string{k.Default}, quoted: true}
		if k.typ == "number" || k.typ == "flag" {
			v.quoted = false
		}
		if k.typ == "list" {
			v.list = true
			if k.Default == "" {
				v.items = nil
			}
		}
		fmt.Fprintf(&b, "## %s\n", strings.ReplaceAll(k.Help, "`", ""))
		fmt.Fprintf(&b, "#%s%s: %s\n", indent, leaf, yamlText(v))
	}
	return b.Bytes()
}

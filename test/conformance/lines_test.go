package conformance

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// referenceLines are the sections of the behaviour reference with the number of their lines.
var referenceLines = map[string]int{
	"0": 9, "1": 20, "2": 9, "3": 19, "4": 5, "5": 16, "6": 9, "7": 10, "8": 3, "9": 8, "10": 7, "11": 19, "12": 5, "13": 6, "14": 7,
	"15": 9, "16": 5,
	"27.1": 11, "27.2": 10, "27.3": 9, "27.4": 7, "27.5": 9, "27.6": 3, "27.7": 7, "27.8": 2,
}

// recordedRows is the number of rows of the recorded traces.
const recordedRows = 421

// TestLines checks that lines.txt has every line of the reference, that what it names is there, and that no case is left out.
func TestLines(t *testing.T) {
	cases := make(map[string]bool) // and whether a line names it
	for _, c := range allCases() {
		if _, twice := cases[c.id]; twice {
			t.Errorf("two cases %s", c.id)
		}
		cases[c.id] = false
	}
	for _, name := range []string{list, "known.txt", "rabbitmq310.txt"} {
		for id := range readList(t, name) {
			if _, ok := cases[id]; !ok {
				t.Errorf("%s lists %s, and there is no such case", name, id)
			}
		}
	}
	covered := readLines(t)
	for section, n := range referenceLines {
		for i := range n {
			if line := fmt.Sprintf("%s.%d", section, i+1); covered[line] == nil {
				t.Errorf("lines.txt has no line %s", line)
			}
		}
	}
	for i := range recordedRows {
		row := fmt.Sprintf("R%d", i+1)
		if _, ok := cases[row]; ok {
			cases[row] = true
		} else if covered[row] == nil {
			t.Errorf("%s is neither a case nor in lines.txt", row)
		}
	}
	for line, names := range covered {
		for _, name := range names {
			if err := look(name, cases); err != nil {
				t.Errorf("line %s: %v", line, err)
			}
		}
	}
	for id, named := range cases {
		if !named {
			t.Errorf("case %s is in no line of lines.txt", id)
		}
	}
}

// readLines returns what lines.txt says of each line; none is an empty list.
func readLines(t *testing.T) map[string][]string {
	f, err := os.Open("lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := make(map[string][]string)
	for s := bufio.NewScanner(f); s.Scan(); {
		number, rest, ok := strings.Cut(s.Text(), " ")
		if !ok || number == "#" {
			continue
		}
		if lines[number] != nil {
			t.Errorf("lines.txt has %s twice", number)
		}
		lines[number] = []string{}
		if !strings.HasPrefix(rest, "none: ") {
			lines[number] = strings.Fields(rest)
		}
	}
	return lines
}

// look marks the cases that a name in lines.txt stands for.
func look(name string, cases map[string]bool) error {
	if dir, test, ok := strings.Cut(name, ".Test"); ok {
		return lookForTest(dir, "Test"+test)
	}
	if prefix, ok := strings.CutSuffix(name, "*"); ok {
		found := false
		for id := range cases {
			if rest, ok := strings.CutPrefix(id, prefix); ok && (rest == "" || rest[0] < '0' || rest[0] > '9') {
				cases[id], found = true, true
			}
		}
		if !found {
			return fmt.Errorf("no case begins with %s", prefix)
		}
		return nil
	}
	if first, last, ok := strings.Cut(name, "-"); ok {
		a, err1 := strconv.Atoi(strings.TrimPrefix(first, "R"))
		b, err2 := strconv.Atoi(strings.TrimPrefix(last, "R"))
		if err1 != nil || err2 != nil || a > b || b > recordedRows {
			return fmt.Errorf("%s is no range of rows", name)
		}
		return nil // that there is something for each row is checked for all rows
	}
	if _, ok := cases[name]; !ok {
		return fmt.Errorf("there is no case %s", name)
	}
	cases[name] = true
	return nil
}

// lookForTest looks for a test in another package.
func lookForTest(dir, test string) error {
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*_test.go"))
	if err != nil {
		return err
	}
	is := regexp.MustCompile(`(?m)^func ` + test + `\(`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if is.Match(text) {
			return nil
		}
	}
	return fmt.Errorf("package %s has no %s", dir, test)
}

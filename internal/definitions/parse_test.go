package definitions

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestBadFiles shows the texts for mistakes. Each file is one line unless it has line breaks.
func TestBadFiles(t *testing.T) {
	const vh = `"vhosts": [{"name": "/"}]`
	for _, c := range []struct{ name, file, want string }{
		{"empty", ``, `f.json:1:1: found the end of the file, want an object with definitions, which starts with {`},
		{"no object", `[]`, `f.json:1:1: found "[", want an object with definitions, which starts with {`},
		{"cut off", `{"users": [`, `f.json:1:12: found the end of the file, want a JSON value`},
		{"behind the end", "{}\n x", `f.json:2:2: found "x" after the end of the definitions`},
		{"comma", `{"users": [],}`, `f.json:1:14: found "}" after a comma; remove the comma or add what is missing`},
		{"no comma", "{\n \"users\": []\n \"vhosts\": []}", `f.json:3:2: found "\"", want a comma or "}" for the "{" before`},
		{"no colon", `{"users" []}`, `f.json:1:10: found "[", want a colon after the name of a member`},
		{"bare name", `{users: []}`, `f.json:1:2: found "u", want the name of a member in double quotes`},
		{"twice", `{"users": [], "users": []}`, `f.json:1:15: the member "users" occurs twice in this object; remove one of them`},
		{"open string", `{"users`, `f.json:1:2: this string has no closing quote`},
		{"line break in a string", "{\"us\ners\": 1}", `f.json:1:5: the control character 0x0a in a string; write it as \u000a`},
		{"Latin-1", "{\"users\": [{\"name\": \"Gr\xfc\xdfe\"}]}", `f.json:1:24: the byte 0xfc in a string is not UTF-8; save the file as UTF-8`},
		{"column in characters", `{"ää": tru}`, `f.json:1:8: found "t", want a JSON value`},
		{"escape", `{"a": "\x"}`, `f.json:1:7: "\"\\x\"" has an escape that JSON does not know: invalid character 'x' in string escape code`},
		{"surrogate", `{"a": "x\ud800"}`, `f.json:1:9: "\\ud800" is half of a character; write both halves`},
		{"number", `{"a": 01}`, `f.json:1:7: "01" is no number of JSON`},
		{"nested", `{"a": ` + strings.Repeat("[", 200), `f.json:1:106: nested deeper than 100 levels`},
		{"section", `{"queues": {}}`, `f.json:1:12: queues: found an object, want a list`},
		{"item", `{"queues": [{}, 7]}`, `f.json:1:13: queues[0].name: missing; want a string
f.json:1:13: queues[0].durable: missing; want true or false
f.json:1:13: queues[0].auto_delete: missing; want true or false
f.json:1:17: queues[1] = 7: found a number, want an object`},
		{"format", `{"rabbitmq_definition_format": "x"}`, `f.json:1:32: rabbitmq_definition_format = "x": found a string, want "cluster" or "single_virtual_host"`},
		{"type of a field", `{"queues": [{"name": "q", "vhost": "/", "durable": "yes", "auto_delete": false}]}`,
			`f.json:1:52: queues[0].durable = "yes": found a string, want true or false`},
		{"no vhost", `{` + vh + `, "queues": [{"name": "q", "durable": true, "auto_delete": false}]}`,
			`f.json:1:40: queues[0].vhost: missing; want the name of a vhost, because other definitions in the file are of a whole cluster`},
		{"queue argument", `{` + vh + `, "queues": [{"name": "q", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-max-length": -1}}]}`,
			`f.json:1:137: queues[0]: PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}`},
		{"long integer", `{"queues": [{"name": "q", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"a": [9223372036854775808]}}]}`,
			`f.json:1:100: queues[0].arguments.a[0] = 9223372036854775808: want an integer from -9223372036854775808 to 9223372036854775807, or a float with a decimal point`},
		{"types that differ", `{"queues": [{"name": "q", "vhost": "/", "type": "quorum", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "classic"}}]}`,
			`f.json:1:49: queues[0].type = "quorum": differs from the argument x-queue-type, which is "classic"; remove one of them`},
		{"queue type", `{"queues": [{"name": "q", "vhost": "/", "type": "other", "durable": true, "auto_delete": false}]}`,
			`f.json:1:13: queues[0]: PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': "unsupported queue type 'other'"`},
		{"exchange type", `{"exchanges": [{"name": "x", "vhost": "/", "type": "x-none", "durable": true, "auto_delete": false}]}`,
			`f.json:1:16: exchanges[0]: COMMAND_INVALID - unknown exchange type 'x-none'`},
		{"destination", `{"bindings": [{"source": "x", "vhost": "/", "destination": "q", "destination_type": "topic", "routing_key": ""}]}`,
			`f.json:1:85: bindings[0].destination_type = "topic": want "queue" or "exchange"`},
		{"MD5", `{"users": [{"name": "u", "tags": "", "password_hash": "AAAA", "hashing_algorithm": "rabbit_password_hashing_md5"}]}`,
			`f.json:1:84: users[0].hashing_algorithm = "rabbit_password_hashing_md5": MD5 hashes are refused because they are broken; give the user a new password in RabbitMQ ` +
				`(rabbitmqctl change_password), which stores it as rabbit_password_hashing_sha256, and export again, or put the password itself into the field password here`},
		{"algorithm", `{"users": [{"name": "u", "password_hash": "AAAA", "hashing_algorithm": "x"}]}`,
			`f.json:1:72: users[0].hashing_algorithm = "x": want rabbit_password_hashing_sha256, rabbit_password_hashing_sha512 or brokerd_argon2id`},
		{"hash", `{"users": [{"name": "u", "password_hash": "?"}]}`, `f.json:1:43: users[0].password_hash: is not base64: illegal base64 data at input byte 0`},
		{"short hash", `{"users": [{"name": "u", "password_hash": "AAAA"}]}`, `f.json:1:43: users[0].password_hash: want 4 bytes of salt and 32 of SHA-256`},
		{"no password", `{"users": [{"name": "u"}]}`,
			`f.json:1:12: users[0].password_hash: missing; want the base64 of a hash, an empty string for a user who cannot log in with a password, or a field password`},
		{"both", `{"users": [{"name": "u", "password": "p", "password_hash": ""}]}`, `f.json:1:12: users[0].password: want a password or a password_hash, not both`},
		{"tags", `{"users": [{"name": "u", "password_hash": "", "tags": [1]}]}`, `f.json:1:56: users[0].tags[0] = 1: found a number, want a string`},
		{"user limits", `{"users": [{"name": "u", "password_hash": "", "limits": {"max-queues": 1}}]}`,
			`f.json:1:12: users[0].limit = "max-queues": want one of max-connections, max-channels`},
		{"permission", `{"permissions": [{"user": "u", "vhost": "/", "configure": "(", "write": "", "read": ""}]}`,
			`f.json:1:59: permissions[0].configure = "(": want a regular expression (RE2: no look-around and no back-references) of at most 4096 bytes; error parsing regexp: missing closing ): ` + "`(`"},
		{"policy", `{"policies": [{"vhost": "/", "name": "p", "pattern": "", "apply-to": "all", "definition": {"max-length": "many"}}]}`,
			`f.json:1:106: policies[0].max-length = "many": want an integer of 0 or more`},
		{"priority", `{"policies": [{"vhost": "/", "name": "p", "pattern": "", "definition": {"max-length": 1}, "priority": 1.5}]}`,
			`f.json:1:103: policies[0].priority = 1.5: want an integer from -2147483648 to 2147483647`},
		{"operator policy", `{"parameters": [{"vhost": "/", "component": "operator_policy", "name": "p", "value": {"definition": {"max-length": 1}}}]}`,
			`f.json:1:86: parameters[0].value.pattern: missing; want a string`},
		{"limits", `{"parameters": [{"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"max-x": 1}}]}`,
			`f.json:1:17: parameters[0].limit = "max-x": want one of max-connections, max-queues`},
		{"metadata", `{"vhosts": [{"name": "v", "metadata": {"tags": 1}}]}`, `f.json:1:48: vhosts[0].metadata.tags = 1: found a number, want a list of strings`},
		{"defined twice", "{\"vhosts\": [{\"name\": \"v\", \"description\": \"a\"},\n{\"name\": \"v\"}]}",
			`f.json:2:1: vhosts[1] = "v": is defined in another way at f.json:1:13; remove one of them`},
		{"sections of a vhost", `{"rabbitmq_definition_format": "single_virtual_host", ` + vh + `}`,
			`f.json:1:66: vhosts[0]: definitions of one vhost (single_virtual_host) cannot have vhosts`},
	} {
		d, err := Parse([]byte(c.file), "f.json")
		if err == nil {
			t.Errorf("%s: no error, %d warnings", c.name, len(d.Warnings))
			continue
		}
		var errs Errors
		if !errors.As(err, &errs) {
			t.Errorf("%s: %T", c.name, err)
		}
		if err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, c.want)
		}
	}
}

// TestManyProblems: a file of which everything is wrong does not fill the screen.
func TestManyProblems(t *testing.T) {
	_, err := Parse([]byte(`{"queues": [`+strings.Repeat("1,", 9999)+`1]}`), "f.json")
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxProblems+1 || lines[maxProblems] != "f.json: and 9950 more like these" {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

// TestPosition compares positions with a count from the start, across the borders of what is counted ahead.
func TestPosition(t *testing.T) {
	data := []byte(strings.Repeat("äöü€ plain\n"+strings.Repeat("x", 97)+"é", 300))
	src := &source{name: "f", data: data}
	line, column := 1, 1
	for i, r := range string(data) {
		if got := (place{src, i}).position(); got != (Position{"f", line, column}) {
			t.Fatalf("byte %d: got %v, want %d:%d", i, got, line, column)
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	if got := (place{src, len(data) + 9}).position(); got != (Position{"f", line, column}) {
		t.Errorf("behind the end: %v, want %d:%d", got, line, column)
	}
}

func TestWarnings(t *testing.T) {
	d, err := Parse([]byte("\xef\xbb\xbf"+`{"queue": [], "lavinmq_version": "2", "x": 1,
"vhosts": [{"name": "/", "cluster_state": {}, "metadata": {"owner": "me"}}],
"users": [{"name": "u", "password_hash": "", "tags": null, "extra": 1}],
"global_parameters": [{"name": "internal_cluster_id", "value": "x"}],
"queues": [{"name": "amq.gen-x", "vhost": "/", "durable": true, "auto_delete": false}],
"exchanges": [{"name": "amq.topic", "vhost": "/", "type": "topic", "durable": true, "auto_delete": false}],
"bindings": [{"source": "", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "q"},
 {"source": "amq.topic", "vhost": "/", "destination": "amq.gen-x", "destination_type": "queue", "routing_key": "q"}]}`), "f.json")
	if err != nil {
		t.Fatal(err)
	}
	const want = `f.json:1:2: queue: no field of definitions, ignored, did you mean queues?
f.json:1:39: x: no field of definitions, ignored
f.json:2:60: vhosts[0].metadata.owner: metadata that has no meaning here, ignored
f.json:2:26: vhosts[0].cluster_state: no field of vhosts here, ignored
f.json:3:60: users[0].extra: no field of users here, ignored
f.json:5:12: queues[0].name: the queue "amq.gen-x" has a name that only the broker gives, skipped with its bindings
f.json:6:15: exchanges[0].name: the exchange "amq.topic" is for the broker to declare, skipped
f.json:7:14: bindings[0].source: bindings of the default exchange exist by themselves, skipped
f.json:8:2: bindings[1].destination: the queue "amq.gen-x" has a name that only the broker gives, skipped`
	if got := Errors(d.Warnings).Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, k := range []Kind{Queues, Exchanges, Bindings, GlobalParameters} {
		if d.Count(k) != 0 {
			t.Errorf("%d %s", d.Count(k), k)
		}
	}
}

// FuzzParse: no input panics, and what is accepted is written in a form that is accepted and written as the same again.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"rabbitmq-3.10.json", "rabbitmq-3.10-vhost.json", "rabbitmq-4.json"} {
		f.Add(readFile(f, name))
	}
	f.Add([]byte(`{"queues": [{"name": "q\ud83d\ude00", "durable": true, "auto_delete": false, "arguments": {"a": [1, 2.0, null, 1e3]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data, "f")
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		out := d.AppendJSON(nil)
		again, err := Parse(out, "out")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if second := again.AppendJSON(nil); !bytes.Equal(out, second) {
			t.Fatalf("written as\n%s\nthen as\n%s", out, second)
		}
	})
}

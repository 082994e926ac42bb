package main

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"
)

// field of a shape; `o` is any object and `a` any array, checked elsewhere.
type field struct {
	name           string
	optional, void bool // may be left out; may be there and empty
	kind           byte
	inner          []field
}

// compile reads a shape; a mistake in the table panics at start.
func compile(text string) []field {
	c := &compiler{text: text}
	fields := c.list(0)
	if c.at != len(text) {
		panic("shape: " + text[c.at:])
	}
	return fields
}

type compiler struct {
	text string
	at   int
}

func (c *compiler) list(end byte) []field {
	var fields []field
	for {
		c.at += len(c.text[c.at:]) - len(strings.TrimLeft(c.text[c.at:], " \t\n"))
		if c.at == len(c.text) {
			return fields
		}
		if c.text[c.at] == end {
			c.at++
			return fields
		}
		if c.text[c.at] == '=' {
			c.at++
			fields = append(fields, compile(parts[c.word()])...)
			continue
		}
		fields = append(fields, c.field())
	}
}

func (c *compiler) word() string {
	start := c.at
	for c.at < len(c.text) && !strings.ContainsRune("?~: \t\n]}", rune(c.text[c.at])) {
		c.at++
	}
	return c.text[start:c.at]
}

func (c *compiler) field() field {
	f := field{name: c.word()}
	switch c.text[c.at] {
	case '?':
		f.optional = true
		c.at++
	case '~':
		f.optional, f.void = true, true
		c.at++
	}
	f.void = f.void || !f.optional
	c.at++ // the colon
	f.kind = c.text[c.at]
	c.at++
	switch f.kind {
	case '[':
		f.inner = c.list(']')
	case '{':
		f.inner = c.list('}')
	}
	return f
}

// check holds an object against a shape: names, order, omission and types.
func check(where string, n *node, fields []field) error {
	if n.kind != '{' {
		return fmt.Errorf("%s: not an object", where)
	}
	at := 0
	for i := range fields {
		f := &fields[i]
		if at < len(n.members) && n.members[at].name == f.name {
			if err := f.check(where+"."+f.name, &n.members[at].node); err != nil {
				return err
			}
			at++
		} else if !f.optional {
			return fmt.Errorf("%s: %s is missing or not in its place", where, f.name)
		}
	}
	if at < len(n.members) {
		return fmt.Errorf("%s: %s is unknown, twice there or not in its place", where, n.members[at].name)
	}
	return nil
}

var (
	quantity  = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE]-?[0-9]+)?$`)
	jsonKinds = map[byte]byte{'s': '"', 'i': '0', 't': '"', 'q': '"', 'm': '{', 'o': '{', 'a': '[', 'l': '[', 'L': '[', 'R': '[', '[': '[', '{': '{'}
)

func (f *field) check(where string, n *node) error {
	if f.kind == 'b' || f.kind == 'T' || f.kind == 'F' {
		if (n.kind == 't' && f.kind != 'F') || (n.kind == 'f' && f.kind != 'T' && f.void) {
			return nil
		}
		return fmt.Errorf("%s: %s is not allowed", where, n.raw)
	}
	if n.kind != jsonKinds[f.kind] {
		return fmt.Errorf("%s: of the wrong type: %.40s", where, n.raw)
	}
	if !f.void && n.empty() {
		return fmt.Errorf("%s: must be left out when empty", where)
	}
	return f.checkInside(where, n)
}

func (n *node) empty() bool {
	return string(n.raw) == `""` || string(n.raw) == "0" || string(n.raw) == "[]" || string(n.raw) == "{}"
}

func (f *field) checkInside(where string, n *node) error {
	switch f.kind {
	case 't':
		if _, err := time.Parse("2006-01-02T15:04:05Z", n.text); err != nil {
			return fmt.Errorf("%s: not a UTC time of whole seconds: %s", where, n.text)
		}
	case 'q':
		if !quantity.MatchString(n.text) {
			return fmt.Errorf("%s: not a quantity: %s", where, n.text)
		}
	case 'm':
		return checkMap(where, n)
	case 'l', 'L', 'R':
		return checkList(where, n, f.kind)
	case '{':
		return check(where, n, f.inner)
	case '[':
		for i := range n.items {
			if err := check(fmt.Sprintf("%s[%d]", where, i), &n.items[i], f.inner); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkMap(where string, n *node) error {
	for i := range n.members {
		if n.members[i].node.kind != '"' {
			return fmt.Errorf("%s.%s: not a string", where, n.members[i].name)
		}
		if i > 0 && n.members[i-1].name >= n.members[i].name {
			return fmt.Errorf("%s: %s is twice there or not in byte order", where, n.members[i].name)
		}
	}
	return nil
}

func checkList(where string, n *node, kind byte) error {
	var texts []string
	for i := range n.items {
		if n.items[i].kind != '"' {
			return fmt.Errorf("%s[%d]: not a string", where, i)
		}
		if kind == 'L' && i > 0 && texts[i-1] == n.items[i].text {
			return fmt.Errorf("%s[%d]: %s twice", where, i, n.items[i].text)
		}
		texts = append(texts, n.items[i].text)
	}
	if kind != 'l' && !sort.StringsAreSorted(texts) {
		return fmt.Errorf("%s: made from a map, and not in byte order", where)
	}
	return nil
}

// checkInfo holds one object against its kind.
func checkInfo(row *kindRow, n *node) error {
	if err := check(row.kind, n, shapes[row.kind]); err != nil {
		return err
	}
	for _, name := range []string{"uid", "name"} {
		if n.get(name).text == "" {
			return fmt.Errorf("%s: no %s", row.kind, name)
		}
	}
	if row.namespaced && n.get("namespace").text == "" {
		return fmt.Errorf("%s %s: no namespace", row.kind, n.get("name").text)
	}
	if annotations := n.get("annotations"); annotations != nil {
		for _, m := range annotations.members {
			if strings.HasPrefix(m.name, "kubectl.kubernetes.io/") || strings.HasPrefix(m.name, "kubernetes.io/") {
				return fmt.Errorf("%s: annotation %s must not leave the cluster", row.kind, m.name)
			}
		}
	}
	return nil
}

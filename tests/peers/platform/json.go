package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A strict reader of compact JSON that keeps the order of members: what the platform's first publisher (Go's
// encoder) would have written, byte for byte, is taken, and nothing else.

const depthMax = 32

type member struct {
	name string
	node node
}

// node is one value; raw is its text in the body, text the decoded string.
type node struct {
	kind    byte // one of { [ " 0 t f n
	raw     []byte
	text    string
	members []member
	items   []node
}

func (n *node) get(name string) *node {
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i].node
		}
	}
	return nil
}

type reader struct {
	body []byte
	at   int
}

func (r *reader) fail(what string) error { return fmt.Errorf("JSON at byte %d: %s", r.at, what) }

func parse(body []byte) (node, error) {
	r := &reader{body: body}
	value, err := r.value(0)
	if err == nil && r.at != len(body) {
		err = r.fail("something follows the value (a newline?)")
	}
	return value, err
}

func (r *reader) peek() byte {
	if r.at < len(r.body) {
		return r.body[r.at]
	}
	return 0
}

func (r *reader) value(depth int) (node, error) {
	start := r.at
	if depth > depthMax {
		return node{}, r.fail("too deep")
	}
	var value node
	var err error
	switch c := r.peek(); {
	case c == '{':
		value, err = r.object(depth)
	case c == '[':
		value, err = r.array(depth)
	case c == '"':
		value.kind = '"'
		value.text, err = r.string()
	case c == '-' || (c >= '0' && c <= '9'):
		value.kind, err = '0', r.number()
	default:
		value.kind, err = c, r.word()
	}
	value.raw = r.body[start:r.at]
	return value, err
}

func (r *reader) word() error {
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(string(r.body[r.at:min(r.at+5, len(r.body))]), word) {
			r.at += len(word)
			return nil
		}
	}
	return r.fail("no value (white space is not allowed)")
}

func (r *reader) number() error {
	start := r.at
	if r.peek() == '-' {
		r.at++
	}
	digits := r.at
	for r.peek() >= '0' && r.peek() <= '9' {
		r.at++
	}
	text := r.body[digits:r.at]
	if len(text) == 0 || (len(text) > 1 && text[0] == '0') || string(r.body[start:r.at]) == "-0" {
		return r.fail("a number that is no plain integer")
	}
	if c := r.peek(); c == '.' || c == 'e' || c == 'E' {
		return r.fail("a number that is no plain integer")
	}
	return nil
}

func (r *reader) object(depth int) (node, error) {
	value := node{kind: '{'}
	r.at++
	if r.peek() == '}' {
		r.at++
		return value, nil
	}
	for {
		name, err := r.string()
		if err != nil {
			return value, err
		}
		if r.peek() != ':' {
			return value, r.fail("a colon is missing")
		}
		r.at++
		item, err := r.value(depth + 1)
		if err != nil {
			return value, err
		}
		value.members = append(value.members, member{name, item})
		if more, err := r.more('}'); !more {
			return value, err
		}
	}
}

func (r *reader) array(depth int) (node, error) {
	value := node{kind: '['}
	r.at++
	if r.peek() == ']' {
		r.at++
		return value, nil
	}
	for {
		item, err := r.value(depth + 1)
		if err != nil {
			return value, err
		}
		value.items = append(value.items, item)
		if more, err := r.more(']'); !more {
			return value, err
		}
	}
}

func (r *reader) more(end byte) (bool, error) {
	switch r.peek() {
	case ',':
		r.at++
		return true, nil
	case end:
		r.at++
		return false, nil
	}
	return false, r.fail("neither a comma nor the end")
}

// string decodes one, and refuses every spelling but the one Go's encoder chooses (spec 3.0).
func (r *reader) string() (string, error) {
	if r.peek() != '"' {
		return "", r.fail("no string")
	}
	r.at++
	start := r.at
	for r.at < len(r.body) && r.body[r.at] != '"' && r.body[r.at] != '\\' && plain(r.body[r.at]) {
		r.at++
	}
	if r.peek() == '"' {
		r.at++
		return string(r.body[start : r.at-1]), nil
	}
	out := append([]byte(nil), r.body[start:r.at]...)
	for r.at < len(r.body) {
		c := r.body[r.at]
		switch {
		case c == '"':
			r.at++
			return string(out), nil
		case c == '\\':
			char, err := r.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, char)
		case plain(c):
			out = append(out, c)
			r.at++
		default:
			char, size := utf8.DecodeRune(r.body[r.at:])
			if c < utf8.RuneSelf || (char == utf8.RuneError && size == 1) || char == 0x2028 || char == 0x2029 {
				return "", r.fail(fmt.Sprintf("byte %#x must be escaped", c))
			}
			out = append(out, r.body[r.at:r.at+size]...)
			r.at += size
		}
	}
	return "", r.fail("a string without an end")
}

// plain bytes stand for themselves.
func plain(c byte) bool {
	return c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

func (r *reader) escape() (rune, error) {
	if r.at+1 >= len(r.body) {
		return 0, r.fail("an escape without an end")
	}
	short := map[byte]rune{'"': '"', '\\': '\\', 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}
	if char, known := short[r.body[r.at+1]]; known {
		r.at += 2
		return char, nil
	}
	if r.body[r.at+1] != 'u' || r.at+6 > len(r.body) {
		return 0, r.fail("an unknown escape")
	}
	var char rune
	for _, c := range r.body[r.at+2 : r.at+6] {
		digit := strings.IndexByte("0123456789abcdef", c)
		if digit < 0 {
			return 0, r.fail("hex digits must be lower case")
		}
		char = char<<4 | rune(digit)
	}
	_, has_short := map[rune]bool{'\n': true, '\r': true, '\t': true, '\b': true, '\f': true}[char]
	needed := char < 0x20 && !has_short
	switch char {
	case '<', '>', '&', 0x2028, 0x2029, 0xfffd:
		needed = true
	}
	if !needed {
		return 0, r.fail(fmt.Sprintf("\\u%04x needs no such escape", char))
	}
	r.at += 6
	return char, nil
}

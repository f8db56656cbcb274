package router

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trellis-dev/trellis/internal/plane"
)

// parsePointer splits a JSON pointer (RFC 6901) into the names that it goes by.
func parsePointer(text string) ([]string, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("the JSON pointer %q must begin with /", text)
	}
	tokens := strings.Split(text[1:], "/")
	for i, t := range tokens {
		for rest := t; ; {
			_, after, escaped := strings.Cut(rest, "~")
			if !escaped {
				break
			}
			if after == "" || after[0] != '0' && after[0] != '1' {
				return nil, fmt.Errorf("the JSON pointer %q has a ~ that is not ~0 or ~1", text)
			}
			rest = after[1:]
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// ofBody is the key in a JSON body.
func (e *extractor) ofBody(body []byte) (string, *plane.Problem) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return "", e.problemUnclear("the body is no JSON")
	}
	return e.at(body, e.pointer)
}

// ofClaim is the key in a token that was verified.
func (e *extractor) ofClaim(token string) (string, *plane.Problem) {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	if token == "" || err != nil || !utf8.Valid(claims) || !json.Valid(claims) {
		return "", e.problemNone()
	}
	return e.at(claims, []string{e.cfg.JWTClaim})
}

func (e *extractor) at(doc []byte, pointer []string) (string, *plane.Problem) {
	value, err := lookUp(doc, pointer)
	if errors.Is(err, errTwice) {
		return "", e.problemTwo()
	}
	if err != nil {
		return "", e.problemNone()
	}
	key, err := scalar(value)
	if err != nil {
		return "", e.problemUnclear(err.Error())
	}
	return e.checked(key)
}

var (
	errAbsent = errors.New("there is no such value")
	errTwice  = errors.New("the value is there more than once")
)

// lookUp is the value at a pointer in valid JSON. A name that is there twice on the way is none: readers differ about
// which of them counts.
func lookUp(doc []byte, pointer []string) ([]byte, error) {
	s := jsonScan{doc: doc}
	s.space()
	for _, name := range pointer {
		at := -1
		switch s.peek() {
		case '{':
			var err error
			if at, err = s.member(name); err != nil {
				return nil, err
			}
		case '[':
			at = s.item(name)
		}
		if at < 0 {
			return nil, errAbsent
		}
		s.at = at
	}
	begin := s.at
	s.skip()
	return s.doc[begin:s.at], nil
}

// jsonScan goes through JSON that is known to be valid.
type jsonScan struct {
	doc []byte
	at  int
}

func (s *jsonScan) space() {
	for s.at < len(s.doc) {
		switch s.doc[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

func (s *jsonScan) peek() byte {
	if s.at < len(s.doc) {
		return s.doc[s.at]
	}
	return 0
}

// member is where the value of a name begins in the object at s.at, or -1.
func (s *jsonScan) member(name string) (int, error) {
	found := -1
	s.at++
	for s.space(); s.peek() != '}'; s.space() {
		if s.peek() == ',' {
			s.at++
			s.space()
		}
		begin := s.at
		s.text()
		raw := s.doc[begin:s.at]
		s.space()
		s.at++
		s.space()
		if named(raw, name) {
			if found >= 0 {
				return -1, errTwice
			}
			found = s.at
		}
		s.skip()
	}
	return found, nil
}

// named reports whether a JSON string, with its quotes, says name.
func named(raw []byte, name string) bool {
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' {
			var text string
			return json.Unmarshal(raw, &text) == nil && text == name
		}
	}
	return string(inner) == name
}

// item is where an element of the array at s.at begins, or -1.
func (s *jsonScan) item(name string) int {
	index, err := strconv.Atoi(name)
	if err != nil || index < 0 || name != strconv.Itoa(index) {
		return -1
	}
	s.at++
	for i := 0; ; i++ {
		if s.space(); s.peek() == ']' {
			return -1
		}
		if s.peek() == ',' {
			s.at++
			s.space()
		}
		if i == index {
			return s.at
		}
		s.skip()
	}
}

// text goes past a string.
func (s *jsonScan) text() {
	for s.at++; s.doc[s.at] != '"'; s.at++ {
		if s.doc[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
}

// skip goes past a value.
func (s *jsonScan) skip() {
	for depth := 0; s.at < len(s.doc); {
		switch s.doc[s.at] {
		case '"':
			s.text()
		case '{', '[':
			depth++
			s.at++
			continue
		case '}', ']':
			depth--
			s.at++
		case ' ', '\t', '\r', '\n', ',', ':':
			s.at++
			continue
		default:
			s.word()
		}
		if depth == 0 {
			return
		}
	}
}

// word goes past a number, true, false or null.
func (s *jsonScan) word() {
	for ; s.at < len(s.doc); s.at++ {
		switch s.doc[s.at] {
		case ',', ']', '}', ' ', '\t', '\r', '\n', ':':
			return
		}
	}
}

// scalar is the canonical text of a value: of a string what it says, of a number without fraction or exponent its
// digits, of any other number what RFC 8785 writes for it, so that 10, 10.0 and 1e1 are one key.
func scalar(value []byte) (string, error) {
	switch value[0] {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return text, err
	case 't', 'f':
		return string(value), nil
	case 'n':
		return "", nil
	case '{', '[':
		return "", errors.New("it is an object or an array: a key is a string, a number or a boolean")
	default:
		return number(string(value))
	}
}

func number(text string) (string, error) {
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0", nil
		}
		return text, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", errors.New("the number is out of range")
	}
	if f == 0 {
		return "0", nil
	}
	if abs := math.Abs(f); abs >= 1e21 || abs < 1e-6 {
		// Go writes two digits of an exponent, ECMAScript as few as it takes.
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0"), nil
	}
	return strconv.FormatFloat(f, 'f', -1, 64), nil
}

package plane

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// DecodeStrict reads body as one JSON value in UTF-8, without members that into does not know.
func DecodeStrict(body []byte, into any) *Problem {
	if !utf8.Valid(body) {
		return Invalid("the body is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return Invalid("the body is not valid: " + jsonFault(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Invalid("the body must be one JSON value, with nothing after it")
	}
	return nil
}

// faultBytes bounds what a problem quotes of a fault, which may hold a name that was sent.
const faultBytes = 200

// jsonFault is the decoder's error without the names of our types.
func jsonFault(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("%s cannot be a %s", wrong.Field, wrong.Value)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	text := []rune(err.Error())
	if len(text) > faultBytes {
		return string(text[:faultBytes]) + "…"
	}
	return string(text)
}

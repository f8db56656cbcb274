package plane

import (
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the labels that a client may give to a thing of a pattern.
const (
	// MaxMetadata is the most labels of one thing.
	MaxMetadata    = 16
	maxMetadataKey = 63
	maxMetadataVal = 256
	maxMediaType   = 255
)

// Faults gathers what is wrong with a request, each with what to change.
type Faults struct {
	// At is where in the request the fields are, e.g. body.
	At   string
	list []ProblemError
}

// Add says what is wrong with a field: the message goes on after its name.
func (f *Faults) Add(field, format string, args ...any) {
	f.list = append(f.list, ProblemError{Location: f.At + "." + field, Message: fmt.Sprintf(format, args...)})
}

// Problem of all of it, nil for none.
func (f *Faults) Problem() *Problem {
	if len(f.list) == 0 {
		return nil
	}
	said := make([]string, len(f.list))
	for i, e := range f.list {
		said[i] = strings.TrimPrefix(e.Location, "body.") + " " + e.Message
	}
	return Invalid(strings.Join(said, "; "), f.list...)
}

// Text refuses what is too long, in bytes, or can not be shown in a line.
func (f *Faults) Text(field, value string, most int) {
	switch {
	case len(value) > most:
		f.Add(field, "may have at most %d bytes", most)
	case !Printable(value):
		f.Add(field, "may not hold control characters, and is UTF-8")
	}
}

// MediaType refuses what is none; an empty one is not looked at.
func (f *Faults) MediaType(field, value string) {
	if value == "" {
		return
	}
	if len(value) > maxMediaType || !Printable(value) {
		f.Add(field, "may have at most %d bytes, without control characters", maxMediaType)
		return
	}
	if _, _, err := mime.ParseMediaType(value); err != nil {
		f.Add(field, "must be a media type, such as image/png")
	}
}

// Metadata refuses labels that are too many, or no labels.
func (f *Faults) Metadata(field string, m map[string]string) {
	if len(m) > MaxMetadata {
		f.Add(field, "may have at most %d members", MaxMetadata)
		return
	}
	for key, value := range m {
		if !ValidMetadata(key, value) {
			f.Add(field, "has keys of 1 to %d letters, digits or - _ . / and values of at most %d bytes without control characters", maxMetadataKey, maxMetadataVal)
			return
		}
	}
}

// ValidMetadata is true for a label that may be given.
func ValidMetadata(key, value string) bool {
	return key != "" && len(key) <= maxMetadataKey && len(value) <= maxMetadataVal && Printable(value) && !strings.ContainsFunc(key, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./", r)
	})
}

// Printable is true for UTF-8 without control characters.
func Printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// magic begins the binary form.
const magic = "TRNG"

const checksumBytes = 8

// ErrChecksum says that a table in the binary form is not as it was written.
var ErrChecksum = errors.New("the table's checksum does not match: it was changed or cut off on its way; read it again")

// MarshalBinary writes the table in the short form of docs/ring.md, which is four to ten times shorter than the JSON. A
// table that is not valid is not written.
func (t Table) MarshalBinary() ([]byte, error) { return t.AppendBinary(nil) }

// AppendBinary is MarshalBinary to the end of b.
func (t Table) AppendBinary(b []byte) ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("write the table: %w", err)
	}
	begin := len(b)
	b = append(append(b, magic...), FormatVersion)
	b = binary.AppendUvarint(b, t.Epoch)
	b = append(b, byte(bits.TrailingZeros(uint(t.Partitions))))
	b = binary.AppendUvarint(b, uint64(len(t.Members)))
	for _, m := range t.Members {
		b = appendName(b, m.ID)
		b = binary.AppendUvarint(b, uint64(m.Weight)) //nolint:gosec // valid, so not negative
		b = appendName(b, m.Zone)
	}
	b = appendOwners(b, t.Owners, ownerBits(len(t.Members)))
	b = binary.AppendUvarint(b, uint64(len(t.Moves)))
	for _, m := range t.Moves {
		b = binary.AppendUvarint(b, uint64(m.Partition)) //nolint:gosec // valid, so not negative
		b = appendName(appendName(b, m.From), m.To)
	}
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[begin:])), nil
}

func appendName(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// ownerBits are the bits of an owner: 0 is None, i+1 is the member i.
func ownerBits(members int) int { return bits.Len(uint(members)) }

// appendOwners packs owners, the lowest bits first, and fills the last byte up with zeros.
func appendOwners(b []byte, owners []int, width int) []byte {
	var acc uint64
	filled := 0
	for _, o := range owners {
		acc |= uint64(o+1) << filled //nolint:gosec // from None, which is -1, on
		for filled += width; filled >= 8; filled -= 8 {
			b = append(b, byte(acc))
			acc >>= 8
		}
	}
	if filled > 0 {
		b = append(b, byte(acc))
	}
	return b
}

// UnmarshalBinary reads the binary form and validates the table. It fails with a VersionError where the table is of
// another version, and with ErrChecksum where it is damaged.
func (t *Table) UnmarshalBinary(data []byte) error {
	if len(data) < len(magic)+1+checksumBytes || string(data[:len(magic)]) != magic {
		return &VersionError{}
	}
	if v := data[len(magic)]; v != FormatVersion {
		return &VersionError{uint64(v)}
	}
	body := data[:len(data)-checksumBytes]
	if binary.LittleEndian.Uint64(data[len(body):]) != xxhash.Sum64(body) {
		return ErrChecksum
	}
	r := reader{rest: body[len(magic)+1:]}
	read := r.table()
	if r.failed || len(r.rest) > 0 {
		return errors.New("the table is not valid: its fields do not fill it")
	}
	return t.set(read)
}

// reader takes fields off the front. After the first that is not there, or out of bounds, all are zero.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) table() Table {
	t := Table{Epoch: r.number(math.MaxUint64)}
	// Looked at before it is made a number: an int has no 2^63.
	log := r.byte()
	if log >= bits.Len(MaxPartitions) {
		r.failed = true
		return Table{}
	}
	t.Partitions = 1 << log
	t.Members = make([]Member, r.count(MaxMembers))
	for i := range t.Members {
		t.Members[i] = Member{ID: r.name(), Weight: r.count(MaxWeight), Zone: r.name()}
	}
	t.Owners = r.owners(t.Partitions, ownerBits(len(t.Members)))
	if n := r.count(t.Partitions); n > 0 {
		t.Moves = make([]Move, n)
	}
	for i := range t.Moves {
		t.Moves[i] = Move{Partition: r.count(t.Partitions), From: r.name(), To: r.name()}
	}
	return t
}

func (r *reader) take(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.failed = true
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() int {
	if b := r.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (r *reader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if r.failed || size <= 0 || n > most {
		r.failed = true
		return 0
	}
	r.take(size)
	return n
}

func (r *reader) count(most int) int { return int(r.number(uint64(most))) } //nolint:gosec // bounded by an int

func (r *reader) name() string { return string(r.take(r.count(MaxNameBytes))) }

func (r *reader) owners(n, width int) []int {
	packed := r.take((n*width + 7) / 8)
	if r.failed {
		return nil
	}
	out := make([]int, n)
	var acc uint64
	filled := 0
	for i := range out {
		for ; filled < width; filled += 8 {
			acc |= uint64(packed[0]) << filled
			packed = packed[1:]
		}
		out[i] = int(acc&(1<<width-1)) - 1 //nolint:gosec // of a few bits
		acc >>= width
		filled -= width
	}
	r.failed = acc != 0 // what fills up is zeros
	return out
}

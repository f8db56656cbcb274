package ring

import (
	"encoding/json"
	"fmt"
)

// FormatVersion of a table as it is written, in both forms. It changes where one that reads the version before would
// misread it; what is only added does not change it.
const FormatVersion = 1

// VersionError says that a table is written in a version that this program can not read.
type VersionError struct {
	// Version of the table; 0 where it says none.
	Version uint64
}

func (e *VersionError) Error() string {
	switch {
	case e.Version == 0:
		return fmt.Sprintf("the table does not say its version: it is no table of a ShardSet, or cut off; this program reads version %d", FormatVersion)
	case e.Version > FormatVersion:
		return fmt.Sprintf("the table is of version %d and this program reads up to %d: upgrade this program", e.Version, FormatVersion)
	}
	return fmt.Sprintf("the table is of version %d and this program reads from %d on: have the routers write it anew, or use an older program", e.Version, FormatVersion)
}

// plain is a Table without its own methods.
type plain Table

type written struct {
	Version uint64 `json:"version"`
	plain
}

// MarshalJSON writes the table with its version.
func (t Table) MarshalJSON() ([]byte, error) {
	w := written{FormatVersion, plain(t)}
	if w.Members == nil {
		w.Members = []Member{}
	}
	if w.Owners == nil {
		w.Owners = []int{}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads a table and validates it. It fails with a VersionError where the table is of another version. A
// table that was never set, with no partitions, is read as such.
func (t *Table) UnmarshalJSON(data []byte) error {
	var v struct {
		Version uint64 `json:"version"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	if v.Version != FormatVersion {
		return &VersionError{v.Version}
	}
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	return t.set(Table(p))
}

// set is for what was read.
func (t *Table) set(read Table) error {
	if read.Partitions == 0 && len(read.Owners)+len(read.Members)+len(read.Moves) == 0 {
		*t = Table{Epoch: read.Epoch}
		return nil
	}
	if err := read.Validate(); err != nil {
		return fmt.Errorf("the table is not valid: %w", err)
	}
	*t = read
	return nil
}

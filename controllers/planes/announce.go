package planes

import (
	"encoding/json"
	"fmt"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Announced is a plane's configuration with marks, fields that are true or not there, set in one of its sections: what a deletion
// tells the planes that run. The configuration may be a newer operator's, so fields that are not known here stay. Files other than
// a plane's, and those without the section, as a worker's, stay as they are; and so does the text where all marks are set.
func Announced(file, config, section string, marks ...string) (string, error) {
	var whole, part map[string]json.RawMessage
	if file != planeconfig.FileName {
		return config, nil
	}
	if err := json.Unmarshal([]byte(config), &whole); err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	if whole[section] == nil {
		return config, nil
	}
	if err := json.Unmarshal(whole[section], &part); err != nil {
		return "", fmt.Errorf("read %s of %s: %w", section, file, err)
	}
	same := true
	for _, mark := range marks {
		same = same && string(part[mark]) == "true"
		part[mark] = json.RawMessage("true")
	}
	if same {
		return config, nil
	}
	var err error
	if whole[section], err = json.Marshal(part); err != nil {
		return "", fmt.Errorf("write %s of %s: %w", section, file, err)
	}
	out, err := json.MarshalIndent(whole, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", file, err)
	}
	return string(out) + "\n", nil
}

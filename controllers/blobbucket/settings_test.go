package blobbucket

import (
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestSettings(t *testing.T) {
	type told map[planeconfig.BlobSetting]planeconfig.BlobState
	for name, c := range map[string]struct {
		told   told
		ok     bool
		reason string
		says   string
	}{
		"nothing looked at": {told{}, false, "Pending", "not looked"},
		"all by the store":  {told{"cors": "native", "versioning": "native"}, true, "BucketReady", "as the spec says"},
		"some by Trellis":   {told{"cors": "native", "publicAccess": "trellis", "lifecycle": "trellis"}, true, "DoneByTrellis", "does spec.lifecycle, the block of public access itself"},
		"some by nobody":    {told{"encryption": "unsupported", "lifecycle": "trellis"}, false, "SettingUnsupported", "spec.encryption can be done by neither"},
		"some fails":        {told{"encryption": "unsupported", "cors": "failing"}, false, "SettingFailing", "spec.cors could not"},
		"a newer plane's":   {told{"replication": "failing"}, false, "SettingFailing", "replication could not"},
	} {
		t.Run(name, func(t *testing.T) {
			var samples []scaling.Sample
			for setting, state := range c.told {
				samples = append(samples, scaling.Sample{Value: 1, Labels: map[string]string{
					planeconfig.LabelSetting: string(setting), planeconfig.LabelState: string(state),
				}})
			}
			got := say(nil, samples)
			if got.OK != c.ok || got.Reason != c.reason || !strings.Contains(got.Message, c.says) {
				t.Errorf("it says %+v", got)
			}
		})
	}
}

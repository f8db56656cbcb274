package blobbucket

import (
	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// eventTypes are the CloudEvents' types by what the API calls them.
var eventTypes = map[v1alpha1.SinkEventType]string{
	"pending": blobs.EventPending, "uploaded": blobs.EventUploaded, "expired": blobs.EventExpired,
	"deleted": blobs.EventDeleted, "orphaned": blobs.EventOrphaned,
}

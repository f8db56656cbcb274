package jobqueue

import (
	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// eventTypes are the CloudEvents' types by what the API calls them.
var eventTypes = map[v1alpha1.SinkEventType]string{
	"accepted": jobs.EventAccepted, "started": jobs.EventStarted, "progress": jobs.EventProgress,
	"succeeded": jobs.EventSucceeded, "failed": jobs.EventFailed, "dead": jobs.EventDead,
}

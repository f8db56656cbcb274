package jobqueue

import (
	"fmt"
	"time"
	_ "time/tzdata" // The operator's image has no time zones of its own.

	"github.com/robfig/cron/v3"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// mostConfig in bytes leaves room in a ConfigMap's 1 MiB for its other fields.
const mostConfig = 1000 << 10

// check refuses what the schema could not.
func check(q *v1alpha1.JobQueue) error {
	for i, s := range q.Spec.Schedules {
		field := fmt.Sprintf("spec.schedules[%d]", i)
		if err := checkSchedule(field, s, q.Spec.Limits.PayloadBytes); err != nil {
			return err
		}
	}
	return nil
}

// checkSize refuses what no ConfigMap holds: payloads of schedules alone are as large.
func checkSize(config string) error {
	if len(config) > mostConfig {
		return pattern.Invalid("spec.schedules: with their payloads the plane's configuration has %d bytes, and %d are the most: shorten the payloads",
			len(config), mostConfig)
	}
	return nil
}

func checkSchedule(field string, s v1alpha1.JobSchedule, most int32) error {
	schedule, err := cron.ParseStandard(s.Cron)
	if err != nil {
		return pattern.Invalid("%s.cron is %q: %w; write minute, hour, day of month, month and day of week", field, s.Cron, err)
	}
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return pattern.Invalid("%s.timeZone is %q, which is no time zone that is known: write a name of the IANA's such as Europe/Berlin", field, s.TimeZone)
	}
	// A schedule looks five years ahead at most.
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, zone)).IsZero() {
		return pattern.Invalid("%s.cron is %q, which never comes: change its day or month", field, s.Cron)
	}
	if s.Payload != nil && len(s.Payload.Raw) > int(most) {
		return pattern.Invalid("%s.payload has %d bytes and limits.payloadBytes is %d: shorten it, or raise the limit", field, len(s.Payload.Raw), most)
	}
	return nil
}

package v1alpha1

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobConcurrencyPolicy says what a schedule does while the job before is not at its end.
//
// +kubebuilder:validation:Enum=Allow;Forbid;Replace
type JobConcurrencyPolicy string

const (
	// ConcurrencyAllow submits another job.
	ConcurrencyAllow JobConcurrencyPolicy = "Allow"
	// ConcurrencyForbid submits none.
	ConcurrencyForbid JobConcurrencyPolicy = "Forbid"
	// ConcurrencyReplace cancels the one before.
	ConcurrencyReplace JobConcurrencyPolicy = "Replace"
)

// JobMissedRuns says what a schedule does about times at which no plane ran.
//
// +kubebuilder:validation:Enum=Skip;RunOnce;RunAll
type JobMissedRuns string

const (
	// MissedSkip leaves them out.
	MissedSkip JobMissedRuns = "Skip"
	// MissedRunOnce submits one job for all of them.
	MissedRunOnce JobMissedRuns = "RunOnce"
	// MissedRunAll submits a job for each.
	MissedRunAll JobMissedRuns = "RunAll"
)

// JobSchedule submits a job at times.
type JobSchedule struct {
	// name of the schedule, lower case letters, digits and '-', 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="a schedule's name is lower case letters, digits and '-', 63 characters at most"
	Name string `json:"name,omitempty"`

	// cron says when: minute, hour, day of the month, month and day of the week, or @hourly, @daily, @weekly, @monthly,
	// @yearly; 128 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9A-Za-z*/,?-]+( [0-9A-Za-z*/,?-]+){4})$')",message="cron has five fields with one blank between them (minute, hour, day of month, month, day of week), e.g. '30 2 * * 1-5', or is @hourly, @daily, @weekly, @monthly or @yearly"
	Cron string `json:"cron,omitempty"`

	// timeZone of cron, a name of the IANA's such as Europe/Berlin, 63 characters at most. Default: UTC.
	// +optional
	// +default="UTC"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$') && self != 'Local'",message="timeZone is a name of the IANA's such as Europe/Berlin or UTC"
	TimeZone string `json:"timeZone,omitempty"`

	// type of the job, for workers and filters, 128 characters at most. Default: none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Type string `json:"type,omitempty"`

	// payload of the job, any JSON of no more than limits.payloadBytes. Default: none.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Payload *JSON `json:"payload,omitempty"`

	// priority of the job, one of priorities, 63 characters at most. Default: the default one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Priority string `json:"priority,omitempty"`

	// orderingKey of the job, where ordering is Key, 256 characters at most. Default: none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	OrderingKey string `json:"orderingKey,omitempty"`

	// metadata of the job to find it by, at most 16 with values of 256 characters at most.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 63)",message="a key of metadata is 63 characters at most"
	Metadata map[string]JobMetadataValue `json:"metadata,omitempty"`

	// concurrencyPolicy says what is done while the job before is not at its end: Allow another, Forbid one, or Replace it,
	// which cancels it. Default: Allow.
	// +optional
	// +default="Allow"
	ConcurrencyPolicy JobConcurrencyPolicy `json:"concurrencyPolicy,omitempty"`

	// missedRuns says what is done about times at which no plane ran: Skip them, RunOnce for all of them, or RunAll. Default: RunOnce.
	// +optional
	// +default="RunOnce"
	MissedRuns JobMissedRuns `json:"missedRuns,omitempty"`

	// startingDeadline is how long ago a missed time may be, 1s to 168h. Default: 1h.
	// +optional
	// +default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="startingDeadline must be between 1s and 168h"
	StartingDeadline *metav1.Duration `json:"startingDeadline,omitempty"`

	// suspend stops the schedule while it is true. Default: false.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`
}

// JobMetadataValue is a value of a job's metadata, 256 characters at most.
//
// +kubebuilder:validation:MaxLength=256
type JobMetadataValue string

// JSON is any JSON value, as it was written.
//
// +kubebuilder:validation:Type=""
type JSON struct {
	// Raw is the value's text.
	Raw json.RawMessage `json:"-"`
}

// MarshalJSON implements json.Marshaler.
func (j JSON) MarshalJSON() ([]byte, error) {
	if len(j.Raw) == 0 {
		return []byte("null"), nil
	}
	return j.Raw, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (j *JSON) UnmarshalJSON(data []byte) error {
	j.Raw = append(j.Raw[:0:0], data...)
	return nil
}

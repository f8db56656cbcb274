package planeconfig

// Metrics by which the plane of a bucket tells the operator how its settings are kept.
const (
	// MetricBlobSetting is 1 for the state, of LabelState, that a setting of the bucket, of LabelSetting, is in. A setting that the
	// configuration says nothing of has none.
	MetricBlobSetting = "trellis_blobs_setting"
	// MetricBlobDrift counts how often a setting was put right that somebody else had changed, by LabelSetting.
	MetricBlobDrift = "trellis_blobs_drift_total"

	LabelSetting = "setting"
	LabelState   = "state"
)

// BlobSetting is a setting of a bucket that is kept, as LabelSetting has it.
type BlobSetting string

// The settings.
const (
	SettingLifecycle    BlobSetting = "lifecycle"
	SettingVersioning   BlobSetting = "versioning"
	SettingCORS         BlobSetting = "cors"
	SettingEncryption   BlobSetting = "encryption"
	SettingRetention    BlobSetting = "retention"
	SettingPublicAccess BlobSetting = "publicAccess"
)

// BlobState says who keeps a setting, as LabelState has it.
type BlobState string

// The states.
const (
	// StateNative is kept by the store.
	StateNative BlobState = "native"
	// StateTrellis is done by the plane, all or some of it, as the store can not.
	StateTrellis BlobState = "trellis"
	// StateUnsupported can be done by neither, all or some of it: the plane's log says what.
	StateUnsupported BlobState = "unsupported"
	// StateFailing could not be looked at or put right the last time: the plane's log says why.
	StateFailing BlobState = "failing"
)

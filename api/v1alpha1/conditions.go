package v1alpha1

// Conditions of every kind.
const (
	// ConditionReady is True when the object serves, or is suspended as its spec says. When it is not, its
	// reason and message are those of the condition that holds it back.
	ConditionReady = "Ready"
	// ConditionReconciling is True while Trellis or Kubernetes still work on the object (kstatus).
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when nothing will go on until somebody changes something (kstatus).
	ConditionStalled = "Stalled"
	// ReasonReady surfaces in Ready when the object serves.
	ReasonReady = "Ready"
	// ReasonPending surfaces in Ready, which is Unknown then, until the operator has looked at the
	// object. It is a default of the schema, so that no reader takes a new object for a ready one.
	ReasonPending = "Pending"
	// ReasonSuspended surfaces when spec.suspend is true: in Ready, which is True as all is as asked for, and
	// in PlaneReady or, of an Engine, EngineReady, which are False.
	ReasonSuspended = "Suspended"
	// ReasonStopping surfaces, of an object that is being suspended or deleted, in Ready and in PlaneReady, while those of its
	// pods that stop first finish what they have begun; the others serve them until then.
	ReasonStopping = "Stopping"
	// ReasonDraining surfaces in Ready while a deletion waits until what waits or runs has ended; the message has the numbers.
	ReasonDraining = "Draining"
	// ReasonDeleting surfaces in Ready while the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonDeletionBlocked surfaces in Ready when a deletion waits for something; the message names it.
	ReasonDeletionBlocked = "DeletionBlocked"
	// ReasonApplyFailed surfaces in Ready when the API server refused an object of the plan.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonProgressing surfaces in Reconciling.
	ReasonProgressing = "Progressing"
)

// Accepted says whether the spec can be carried out. While it is False, nothing is created.
const (
	ConditionAccepted = "Accepted"
	// ReasonAccepted surfaces when the spec can be carried out.
	ReasonAccepted = "Accepted"
	// ReasonClassNotFound surfaces when the named class does not exist, or none is the default.
	ReasonClassNotFound = "ClassNotFound"
	// ReasonEngineNotAllowed surfaces when the class does not offer or does not allow the engine.
	ReasonEngineNotAllowed = "EngineNotAllowed"
	// ReasonLimitExceeded surfaces when the spec asks for more than the class allows; the message has the number.
	ReasonLimitExceeded = "LimitExceeded"
	// ReasonReferenceNotFound surfaces when an object that the spec names does not exist.
	ReasonReferenceNotFound = "ReferenceNotFound"
	// ReasonReferenceInvalid surfaces when an object that the spec names can not be used.
	ReasonReferenceInvalid = "ReferenceInvalid"
	// ReasonReferenceNotPermitted surfaces when a sink is in another namespace and no SinkGrant there allows it.
	ReasonReferenceNotPermitted = "ReferenceNotPermitted"
	// ReasonSinkCycle surfaces when the sinks of patterns lead round; the message names the way.
	ReasonSinkCycle = "SinkCycle"
	// ReasonNameConflict surfaces when an object of the plan exists and is not Trellis's.
	ReasonNameConflict = "NameConflict"
	// ReasonSpecInvalid surfaces when the spec says what can not be carried out and the schema could not refuse.
	ReasonSpecInvalid = "SpecInvalid"
	// ReasonAPINotInstalled surfaces when the plan needs a kind that the cluster does not serve.
	ReasonAPINotInstalled = "APINotInstalled"
)

// EngineReady says whether the engine that holds the state can be used.
const (
	ConditionEngineReady = "EngineReady"
	// ReasonEngineReady surfaces when the engine answers.
	ReasonEngineReady = "EngineReady"
	// ReasonEngineNotReady surfaces while the engine starts or does not answer; the message says why pods do not start.
	ReasonEngineNotReady = "EngineNotReady"
	// ReasonEngineUnreachable surfaces when an external engine was tried and failed; the message says why.
	ReasonEngineUnreachable = "EngineUnreachable"
	// ReasonInMemory surfaces when the plane holds the state itself.
	ReasonInMemory = "InMemory"
)

// PlaneReady says whether the pods that serve the contract are.
const (
	ConditionPlaneReady = "PlaneReady"
	// ReasonPlaneReady surfaces when all pods serve.
	ReasonPlaneReady = "PlaneReady"
	// ReasonPlaneNotReady surfaces while too few pods serve.
	ReasonPlaneNotReady = "PlaneNotReady"
	// ReasonPlaneFailing surfaces when the pods do not start; the message says why: an image that can not be had, a
	// container that ends, no node that takes a pod.
	ReasonPlaneFailing = "PlaneFailing"
	// ReasonPlaneRolling surfaces while pods are replaced; the old ones serve.
	ReasonPlaneRolling = "PlaneRolling"
)

// WorkersReady says whether the pods that run a queue's jobs do. It is absent where Trellis runs none.
const (
	ConditionWorkersReady = "WorkersReady"
	// ReasonWorkersReady surfaces when all workers run.
	ReasonWorkersReady = "WorkersReady"
	// ReasonWorkersIdle surfaces while no worker runs, as there is nothing to do or none is asked for.
	ReasonWorkersIdle = "WorkersIdle"
	// ReasonWorkersStarting surfaces while the first workers start for jobs that wait.
	ReasonWorkersStarting = "WorkersStarting"
	// ReasonWorkersNotReady surfaces while too few workers run.
	ReasonWorkersNotReady = "WorkersNotReady"
	// ReasonWorkersFailing surfaces when the workers do not start; the message says why.
	ReasonWorkersFailing = "WorkersFailing"
	// ReasonWorkersRolling surfaces while workers are replaced.
	ReasonWorkersRolling = "WorkersRolling"
)

// SinksReady says whether the receivers of an object's events take them, as the pods that send say. It is absent without
// sinks, and does not hold Ready back: the object serves.
const (
	ConditionSinksReady = "SinksReady"
	// ReasonSinksReady surfaces when what there is to send is taken.
	ReasonSinksReady = "SinksReady"
	// ReasonSinksPending surfaces, with the status Unknown, until a pod was asked.
	ReasonSinksPending = "Pending"
	// ReasonSinkBacklog surfaces when events wait for longer than five minutes as their receiver does not take them.
	ReasonSinkBacklog = "SinkBacklog"
	// ReasonSinkDeadLetters surfaces when events were given up within the last hour.
	ReasonSinkDeadLetters = "SinkDeadLetters"
)

// BucketReady says whether the bucket of a BlobBucket is as its spec says, as the plane finds it in the store. It does not hold
// Ready back: files are uploaded and downloaded all the same.
const (
	ConditionBucketReady = "BucketReady"
	// ReasonBucketReady surfaces when the store does all that the spec asks for.
	ReasonBucketReady = "BucketReady"
	// ReasonBucketPending surfaces until the plane has looked at the bucket.
	ReasonBucketPending = "Pending"
	// ReasonBucketByTrellis surfaces when all is done, some of it by Trellis as the store does not; the message names it.
	ReasonBucketByTrellis = "DoneByTrellis"
	// ReasonBucketUnsupported surfaces when the spec asks for what neither the store nor Trellis does; the message names it.
	ReasonBucketUnsupported = "SettingUnsupported"
	// ReasonBucketFailing surfaces when a setting can not be read from or written to the store; the message names it.
	ReasonBucketFailing = "SettingFailing"
)

// Balanced says whether the requests of a ShardSet are spread over its partitions, as its routers see them. It does not hold Ready
// back: all keys are served.
const (
	ConditionBalanced = "Balanced"
	// ReasonBalanced surfaces when no partition gets more than its share.
	ReasonBalanced = "Balanced"
	// ReasonBalancePending surfaces, with the status Unknown, until a router was asked.
	ReasonBalancePending = "Pending"
	// ReasonHotPartition surfaces when a partition gets more than its share of the requests; the message says what to do, and
	// status.ring.hottestPartitions names it.
	ReasonHotPartition = "HotPartition"
)

// Exposed says whether the Ingress, the HTTPRoute or the load balancer of an object that has one is
// carried out by somebody. It does not hold Ready back: inside the cluster the object serves.
const (
	ConditionExposed = "Exposed"
	// ReasonExposed surfaces when there is an address, or the Gateway has accepted the route.
	ReasonExposed = "Exposed"
	// ReasonExposurePending surfaces, with the status Unknown, while nobody has said anything: most often
	// the IngressClass or the Gateway does not exist.
	ReasonExposurePending = "Pending"
	// ReasonExposureRefused surfaces when the Gateway's controller refuses the route; the message says why.
	ReasonExposureRefused = "Refused"
)

// ScalingActive and ScalingLimited say how an object with spec.scaling scales, with the reasons of the
// HorizontalPodAutoscaler: ValidMetricFound and FailedGetPodsMetric; DesiredWithinRange, TooManyReplicas
// and TooFewReplicas.
const (
	// ConditionScalingActive is True when the load is known and the number of replicas follows it.
	ConditionScalingActive = "ScalingActive"
	// ConditionScalingLimited is True when the load asks for a number of replicas outside the bounds.
	ConditionScalingLimited = "ScalingLimited"
	// ReasonScalingPending surfaces in ScalingActive, which is Unknown then, until the load was read.
	ReasonScalingPending = "Pending"
)

// UpdateAvailable is True when running pods do not follow all that is planned. What a new version of
// Trellis would change, with spec and class unchanged, waits until the class says Automatic or the
// object is annotated; what a change of the class would, until it is this object's turn.
const (
	ConditionUpdateAvailable = "UpdateAvailable"
	// ReasonOperatorChanged surfaces when the operator's own defaults changed.
	ReasonOperatorChanged = "OperatorChanged"
	// ReasonRolloutQueued surfaces while another pattern of the class is replaced first; the message
	// names one that does not become ready.
	ReasonRolloutQueued = "RolloutQueued"
	// ReasonRolloutInProgress surfaces while the pods of this object follow a change of the class.
	ReasonRolloutInProgress = "RolloutInProgress"
)

// StorageResized is False while claims are smaller than planned, and absent otherwise.
const (
	ConditionStorageResized = "StorageResized"
	// ReasonResizing surfaces while claims grow.
	ReasonResizing = "Resizing"
	// ReasonExpansionNotAllowed surfaces when the StorageClass does not let claims grow; the message
	// says what to do.
	ReasonExpansionNotAllowed = "ExpansionNotAllowed"
)

// CredentialsRotated says what became of the last value of the annotation rotate-credentials, and is absent
// without it.
const (
	ConditionCredentialsRotated = "CredentialsRotated"
	// ReasonCredentialsRotated surfaces when the credentials were made anew.
	ReasonCredentialsRotated = "CredentialsRotated"
	// ReasonRotationUnsupported surfaces for credentials that are who the engine is; the message says what to do.
	ReasonRotationUnsupported = "RotationUnsupported"
	// ReasonRotationWaiting surfaces while the credentials can not be made anew yet; the message says why.
	ReasonRotationWaiting = "RotationWaiting"
	// ReasonRotatedElsewhere surfaces for credentials that Trellis did not make; the message says what to do.
	ReasonRotatedElsewhere = "RotatedElsewhere"
)

// Annotations that users set.
const (
	// AnnotationDefaultClass marks a PatternClass as the default with the value "true".
	AnnotationDefaultClass = "patternclass.patterns.trellis.dev/is-default-class"
	// AnnotationApproveUpdate lets a waiting update go each time its value changes.
	AnnotationApproveUpdate = "patterns.trellis.dev/approve-update"
	// AnnotationRotateCredentials makes the credentials of an object anew each time its value changes.
	AnnotationRotateCredentials = "patterns.trellis.dev/rotate-credentials"
	// AnnotationSkipDrain, with the value "true", has a deletion wait no longer for what waits or runs.
	AnnotationSkipDrain = "patterns.trellis.dev/skip-drain"
	// AnnotationDeleteFiles has a deleted BlobBucket whose policy is Delete be emptied, where it repeats the object's name.
	// Without it the files are kept.
	AnnotationDeleteFiles = "patterns.trellis.dev/delete-files"
)

// Labels of every object that Trellis makes.
const (
	// LabelManagedBy is "trellis"; the operator watches nothing else.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// LabelKind and LabelName say which object owns it.
	LabelKind = "patterns.trellis.dev/kind"
	LabelName = "patterns.trellis.dev/name"
	// LabelComponent is the part it plays: plane, worker, shard or engine.
	LabelComponent = "app.kubernetes.io/component"
	// ComponentPlane is the value of LabelComponent of what serves a contract.
	ComponentPlane = "plane"
	// ComponentWorker is the value of LabelComponent of what runs a queue's jobs.
	ComponentWorker = "worker"
	// ComponentShard is the value of LabelComponent of what keeps the state of a ShardSet.
	ComponentShard = "shard"
	// LabelSelfRouting on a pod of a user, with the value "true", admits it to the shards of its namespace's ShardSets.
	LabelSelfRouting = "patterns.trellis.dev/self-routing"
	// LabelRetained marks, with the value "true", what a deletion kept.
	LabelRetained = "patterns.trellis.dev/retained"
	// LabelWatch on a Secret of a user, with the value "true", makes a change of it noticed at once.
	LabelWatch = "patterns.trellis.dev/watch"
	// ManagedBy is the value of LabelManagedBy and the field manager of every write.
	ManagedBy = "trellis"
)

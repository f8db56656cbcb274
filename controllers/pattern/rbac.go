package pattern

// What the pipeline reads and writes. Secrets of users are read by name; the
// cache lists only those that bear its label, which RBAC can not express.

// +kubebuilder:rbac:groups=patterns.trellis.dev,resources=patternclasses;sinkgrants,verbs=get;list;watch
// +kubebuilder:rbac:groups=patterns.trellis.dev,resources=engines,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=patterns.trellis.dev,resources=realtimegateways;jobqueues;blobbuckets;shardsets,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=patterns.trellis.dev,resources=engines/status;realtimegateways/status;jobqueues/status;blobbuckets/status;shardsets/status,verbs=patch
// +kubebuilder:rbac:groups=patterns.trellis.dev,resources=engines/finalizers;realtimegateways/finalizers;jobqueues/finalizers;blobbuckets/finalizers;shardsets/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets;configmaps;services;serviceaccounts,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=storage.k8s.io,resources=storageclasses,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies;ingresses,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// The pods of a ShardSet ask the API server themselves: where their table is, and who of them changes it. What its Roles allow,
// the operator must be allowed itself, or it could not make them.

// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=update
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update;patch

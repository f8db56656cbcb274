package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "patterns.trellis.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	builder := runtime.NewSchemeBuilder(addKnownTypes)
	return builder.AddToScheme(scheme)
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&PatternClass{}, &PatternClassList{},
		&Engine{}, &EngineList{},
		&RealtimeGateway{}, &RealtimeGatewayList{},
		&JobQueue{}, &JobQueueList{},
		&BlobBucket{}, &BlobBucketList{},
		&ShardSet{}, &ShardSetList{},
		&SinkGrant{}, &SinkGrantList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

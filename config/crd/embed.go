// Package crd holds the CustomResourceDefinitions, for tools that validate and
// default objects without a cluster.
package crd

import "embed"

// Files are the definitions, as generated.
//
//go:embed bases/*.yaml
var Files embed.FS

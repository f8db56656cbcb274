// Package account makes sure that a consumer of an engine has an account of its own there, before the consumer's
// process starts: one file a type of engine. It is run by an init container, again at each start of a pod, and by
// several pods at once. It imports internal/planeconfig alone.
package account

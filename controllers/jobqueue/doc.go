// Package jobqueue is the kind JobQueue: its plan (pure), how its workers scale, and how it is observed.
package jobqueue

// Package postgres keeps the jobs of a queue in PostgreSQL: the Store of internal/plane/jobs in tables of one
// schema, which may lie in a database that others use as well. Every change of a job is one statement or one
// transaction under READ COMMITTED, so that replicas share the work without talking to each other.
//
// It may import internal/plane/jobs, internal/planeconfig and pkg/jobs.
package postgres

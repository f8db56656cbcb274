// Package postgres reaches an engine of type PostgreSQL for a plane: connections that survive a rotation of the password,
// a schema of the object's own, and its tables brought up to date. What lies in the tables is the patterns'.
//
// It may import internal/planeconfig.
package postgres

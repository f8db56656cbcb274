// Package mover changes the table of a ShardSet: it takes up who the members are to be, and carries partition after
// partition to its new owner. What is to be done next is a pure function of the published state and of what members
// answered; so a mover that dies anywhere is followed by one that goes on from what was written.
//
// One router is the mover, by a lease; nothing depends on that there is only one. It may import the packages of
// internal/plane/shards that have no Kubernetes in them, pkg and internal/planeconfig.
package mover
